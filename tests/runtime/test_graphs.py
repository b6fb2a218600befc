"""Programs: every call does the work once, in every mode, on the same memory."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from tolerance import near
from vivace.errors import BackendUnavailableError
from vivace.runtime.torch.compiled import compiler_problem
from vivace.runtime.torch.graphs import WARM_UP_CALLS, Mode, Program, spent_s

CPU = torch.device("cpu")


class Counter:
    """Function over static buffers that would reveal an additional call."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.given = torch.zeros(4, device=device)
        self.total = torch.zeros(4, device=device)
        self.calls = torch.zeros((), dtype=torch.int64, device=device)

    def add(self) -> None:
        self.total += self.given.sin() * 2
        self.calls += 1

    def expected(self, values: list[float]) -> Tensor:
        return sum((torch.full((4,), value).sin() * 2 for value in values), torch.zeros(4))


def check(counter: Counter, program: Program) -> None:
    places = counter.total.data_ptr(), counter.calls.data_ptr()
    values = [0.5, 1.0, -1.0, 2.0, 3.0, 0.25]
    for value in values:
        counter.given.fill_(value)
        program()
    assert int(counter.calls) == len(values)
    assert near(counter.total, counter.expected(values))
    assert (counter.total.data_ptr(), counter.calls.data_ptr()) == places


def test_an_eager_program_does_its_work_once_a_call() -> None:
    counter = Counter()
    check(counter, Program(counter.add, device=CPU, mode="eager"))


@pytest.fixture
def no_compiler_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace functions and make them functional as for any compiler; their C++ is torch's concern."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


@pytest.mark.usefixtures("no_compiler_needed")
def test_a_compiled_program_does_its_work_once_a_call() -> None:
    counter = Counter()
    check(counter, Program(counter.add, device=CPU, mode="compiled"))


@pytest.mark.usefixtures("no_compiler_needed")
def test_programs_of_any_number_of_sizes_are_compiled() -> None:
    """Torch by itself gives up at the ninth."""

    def double(buffer: Tensor) -> None:
        buffer.mul_(2)

    for size in range(2, 16):
        buffer = torch.ones(size)
        Program(functools.partial(double, buffer), device=CPU, mode="compiled")()
        assert torch.equal(buffer, torch.full((size,), 2.0))


def test_a_cpu_records_no_graph() -> None:
    with pytest.raises(BackendUnavailableError, match="only a CUDA device records graphs, not 'cpu'"):
        Program(Counter().add, device=CPU, mode="graph")


def test_a_machine_without_a_compiler_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tested once, logged once."""

    def refuse(*_: object, **__: object) -> object:
        raise RuntimeError("no compiler\nfound\n\nlong story")

    compiler_problem.cache_clear()
    monkeypatch.setattr(torch, "compile", refuse)
    try:
        problems = {compiler_problem("cpu") for _ in range(3)}
    finally:
        compiler_problem.cache_clear()
    assert problems == {"torch cannot compile for cpu here: no compiler found"}
    assert [record.getMessage() for record in caplog.records] == [f"{min(problems)}; running eagerly, which is slower"]


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["compiled", "graph"])
def test_a_program_on_a_device_does_its_work_once_a_call(mode: Mode) -> None:
    counter = Counter("cuda")
    program = Program(counter.add, device=torch.device("cuda"), mode=mode)
    check(counter, program)
    assert (program._graph is not None) == (mode == "graph")


@pytest.mark.gpu
def test_programs_share_a_pool_one_after_the_other() -> None:
    pool, device = torch.cuda.graph_pool_handle(), torch.device("cuda")
    first, second = Counter("cuda"), Counter("cuda")
    programs = [Program(counter.add, device=device, mode="graph", pool=pool) for counter in (first, second)]
    for _ in range(WARM_UP_CALLS + 3):
        for counter, program in zip((first, second), programs, strict=True):
            counter.given.fill_(1.0)
            program()
    for counter in (first, second):
        assert int(counter.calls) == WARM_UP_CALLS + 3
        assert near(counter.total, counter.expected([1.0] * (WARM_UP_CALLS + 3)))


@pytest.mark.gpu
def test_what_waits_for_the_device_is_not_recorded() -> None:
    counter = Counter("cuda")

    def waits() -> None:
        counter.add()
        torch.cuda.synchronize()

    program = Program(waits, device=torch.device("cuda"), mode="graph")
    with pytest.raises(BackendUnavailableError, match="cannot be recorded"):
        for _ in range(WARM_UP_CALLS + 1):
            program()


@pytest.mark.usefixtures("no_compiler_needed")
def test_what_compiling_takes_is_counted_once() -> None:
    counter = Counter()
    program = Program(counter.add, device=CPU)
    before = spent_s()
    program()
    assert spent_s() == before, "what is called as it is compiles nothing"
    program = Program(counter.add, device=CPU, mode="compiled")
    program()
    after = spent_s()
    assert after["compile"] > before["compile"]
    assert after["record"] == before["record"]
    program()
    assert spent_s() == after
