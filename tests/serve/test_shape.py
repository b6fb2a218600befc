"""Output sizes: few, determined by the shape of the source alone, and never more than a server can hold."""

from __future__ import annotations

import pytest

from fakes import FakeModel
from serve_rig import grey, in_loop, opened, running_manager, until
from vivace import messages
from vivace.errors import ControlError
from vivace.serve.limits import RefusedError
from vivace.serve.shape import MAX_SIZES, SizeList, output_size

SPEC = FakeModel().spec


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ((640, 480), (72, 56)),
        ((160, 120), (72, 56)),
        ((1920, 1440), (72, 56)),
        ((641, 479), (72, 56)),
        ((1920, 1080), (88, 48)),
        ((426, 240), (88, 48)),
        ((1080, 1920), (48, 88)),
        ((512, 512), (64, 64)),
        ((5000, 1), (88, 48)),
        ((1, 5000), (48, 88)),
    ],
)
def test_the_output_takes_the_nearest_shape_at_one_area(source, shape):
    assert output_size(source, 64 * 64, SPEC) == shape


def test_whatever_comes_only_a_few_sizes_are_opened():
    sources = [(width, height) for width in range(10, 2000, 97) for height in range(9, 1500, 83)]
    assert len({output_size(source, 64 * 64, SPEC) for source in sources}) == 5


def test_a_server_opens_only_so_many_sizes():
    sizes = SizeList(10_000)
    for index in range(MAX_SIZES):
        sizes.allow((8, 8 * (index + 1)))
    sizes.allow((8, 8))
    with pytest.raises(RefusedError, match="use one of 8x8, 8x16") as caught:
        sizes.allow((16, 16))
    assert caught.value.code == "sizes"
    with pytest.raises(ControlError, match="10,000 pixels"):
        sizes.allow((101, 100))


@in_loop
async def test_a_client_cannot_make_a_server_compile_without_end():
    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        session = await opened(manager)
        acks = [await session.update(messages.Controls(size=(8 * n, 8))) for n in range(1, 31)]
        assert sum(ack.accepted for ack in acks) < MAX_SIZES
        assert "this server has opened" in acks[-1].message
        for width in range(10, 400, 7):
            session.push(grey(size=(width, 90)))
            await until(lambda: not session._dynamic_size.preparing)
        assert len(set(model.opened)) <= MAX_SIZES
