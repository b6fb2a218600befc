import asyncio
import threading

import pytest

from patience import PATIENCE_S
from vivace.errors import SourceLostError
from vivace.media.mailbox import AsyncLatest, Handoff, Latest, Mailbox


@pytest.fixture(params=[Latest, Handoff])
def box(request) -> Mailbox[int]:
    return request.param()


def test_newest_wins_and_what_was_overwritten_is_reported():
    dropped: list[int] = []
    box = Latest[int](dropped.append)
    for number in range(5):
        assert box.put(number)
    box.close()
    assert list(box) == [4]
    assert dropped == [0, 1, 2, 3]


def test_newest_wins_never_makes_the_producer_wait():
    box = Latest[int]()
    done = threading.Thread(target=lambda: [box.put(number) for number in range(1000)])
    done.start()
    done.join(PATIENCE_S)
    assert not done.is_alive()


def test_handoff_delivers_everything_in_order():
    box = Handoff[int](2)

    def produce() -> None:
        for number in range(200):
            assert box.put(number)
        box.close()

    producer = threading.Thread(target=produce)
    producer.start()
    assert list(box) == list(range(200))
    producer.join(PATIENCE_S)


def test_handoff_holds_the_producer_back():
    box = Handoff[int](2)
    progress: list[int] = []
    third_is_in = threading.Event()

    def produce() -> None:
        for number in range(3):
            box.put(number)
            progress.append(number)
        third_is_in.set()

    producer = threading.Thread(target=produce)
    producer.start()
    while len(progress) < 2:
        pass
    assert not third_is_in.wait(0.02)
    assert next(iter(box)) == 0
    assert third_is_in.wait(PATIENCE_S)
    producer.join(PATIENCE_S)


def test_closing_delivers_what_is_there_and_then_ends(box):
    box.put(1)
    box.close()
    assert box.closed
    assert list(box) == [1]
    assert list(box) == []


def test_an_error_is_raised_after_what_came_before_it(box):
    box.put(1)
    box.close(SourceLostError("unplugged"))
    items = iter(box)
    assert next(items) == 1
    with pytest.raises(SourceLostError, match="unplugged"):
        next(items)


def test_the_first_close_counts(box):
    box.close()
    box.close(SourceLostError("too late"))
    assert list(box) == []


def test_a_consumer_that_leaves_discards_and_frees_the_producer():
    box = Handoff[int](1)
    box.put(1)
    answers: list[bool] = []
    producer = threading.Thread(target=lambda: answers.append(box.put(2)))
    producer.start()
    box.close(discard=True)
    producer.join(PATIENCE_S)
    assert answers == [False]
    assert list(box) == []


def test_closing_wakes_a_waiting_consumer(box):
    got: list[list[int]] = []
    consumer = threading.Thread(target=lambda: got.append(list(box)))
    consumer.start()
    box.close()
    consumer.join(PATIENCE_S)
    assert got == [[]]


def test_nothing_is_taken_after_the_end(box):
    box.close()
    assert not box.put(1)
    assert list(box) == []


def test_taking_ends_like_iterating(box: Mailbox[int]):
    box.put(1)
    assert box.take(0) == 1
    with pytest.raises(TimeoutError, match="nothing came within 0 s"):
        box.take(0)
    box.put(2)
    box.close(SourceLostError("unplugged"))
    assert box.take(0) == 2
    with pytest.raises(SourceLostError, match="unplugged"):
        box.take(0)
    box.close(discard=True)
    assert box.take(0) is None


def test_a_loop_gets_the_newest_of_what_a_thread_puts_and_then_the_end():
    async def consume() -> tuple[list[int], int]:
        box: AsyncLatest[int] = AsyncLatest()
        assert [box.put(number) for number in range(5)] == [True] * 5
        seen = [await anext(box)]
        thread = threading.Thread(target=lambda: (box.put(5), box.close()))
        thread.start()
        seen += [item async for item in box]
        thread.join(PATIENCE_S)
        assert box.closed
        assert not box.put(6)
        return seen, box.dropped

    assert asyncio.run(consume()) == ([4, 5], 4)


@pytest.mark.parametrize(("discard", "left"), [(False, [1]), (True, [])])
def test_closing_delivers_what_is_inside_unless_it_shall_be_discarded(discard: bool, left: list[int]):
    closed: list[object] = []

    async def consume() -> list[int]:
        box: AsyncLatest[int] = AsyncLatest(closed.append)
        box.put(1)
        box.close(discard=discard)
        assert closed == [box]
        return [item async for item in box]

    assert asyncio.run(consume()) == left


def test_a_producer_outlives_the_loop_of_its_consumer():
    async def leave() -> AsyncLatest[int]:
        return AsyncLatest()

    box = asyncio.run(leave())
    assert box.put(1)  # no consumer can be woken any more
    assert box.closed
    assert not box.put(2)


def test_a_few_of_the_newest_may_wait():
    dropped: list[int] = []
    box = Latest[int](dropped.append, keep=3)
    for number in range(5):
        assert box.put(number)
    box.close()
    assert list(box) == [2, 3, 4]
    assert dropped == [0, 1]
    with pytest.raises(ValueError, match="at least 1"):
        Latest[int](keep=0)
