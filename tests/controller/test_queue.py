"""The work queue: one object never twice at once, nothing forgotten, and errors that do not spread."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from safehold.controller import queue as queue_module
from safehold.controller.queue import Key, WorkQueue
from safehold.errors import ClusterError, ClusterUnavailableError, SafeholdError

KEY: Key = ("shop", "db")


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "RETRY_SECONDS", (0.01, 0.04))


@asynccontextmanager
async def working(queue: WorkQueue) -> AsyncIterator[None]:
    """The queue at work."""
    task = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(180):
            yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Looks:
    """Records the looks at each key; `script` says what a look does."""

    def __init__(self, script: Callable[[int], Awaitable[float | None]] | None = None) -> None:
        self.count = 0
        self.side_by_side = 0
        self.most = 0
        self.changed = asyncio.Event()
        self._script = script

    async def __call__(self, key: Key) -> float | None:
        """One look."""
        assert key == KEY
        self.side_by_side += 1
        self.most = max(self.most, self.side_by_side)
        self.count += 1
        self.changed.set()
        try:
            return await self._script(self.count) if self._script else None
        finally:
            self.side_by_side -= 1

    async def until(self, count: int) -> None:
        """Wait for that many looks."""
        while self.count < count:
            self.changed.clear()
            await self.changed.wait()


async def test_many_events_before_a_look_are_one_look() -> None:
    """What is put in several times before a worker comes is looked at once."""
    looks = Looks()
    queue = WorkQueue("vmbackups", looks)
    for _ in range(5):
        queue.add(KEY)
    async with working(queue):
        await looks.until(1)
        await asyncio.sleep(0)
    assert looks.count == 1


async def test_an_event_during_a_look_brings_another_one_after_it() -> None:
    """Nothing that happens while an object is looked at is lost, and it is never looked at twice at once."""
    going_on = asyncio.Event()

    async def wait(_: int) -> None:
        await going_on.wait()

    looks = Looks(wait)
    queue = WorkQueue("vmbackups", looks)
    async with working(queue):
        queue.add(KEY)
        await looks.until(1)
        for _ in range(3):
            queue.add(KEY)
        await asyncio.sleep(0)
        assert looks.count == 1
        going_on.set()
        await looks.until(2)
    assert (looks.count, looks.most) == (2, 1)


async def test_a_look_may_ask_for_the_next_one() -> None:
    """A poll or a due time comes by itself, until a look asks for none."""

    async def twice(count: int) -> float | None:
        return 0.01 if count < 3 else None

    looks = Looks(twice)
    queue = WorkQueue("vmbackups", looks)
    async with working(queue):
        queue.add(KEY)
        await looks.until(3)
        assert not queue._timers


async def test_an_event_comes_before_the_time_that_was_asked_for() -> None:
    """A key with a timer is looked at at once when something happens; the timer is then void."""

    async def later(count: int) -> float | None:
        return 3600 if count == 1 else None

    looks = Looks(later)
    queue = WorkQueue("vmbackups", looks)
    async with working(queue):
        queue.add(KEY)
        await looks.until(1)
        queue.add(KEY)
        await looks.until(2)
        assert not queue._timers


async def test_an_error_is_retried_with_growing_pauses_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """An error or a defect of one look is logged; the object is tried again until it works."""
    pauses: list[float] = []

    async def fails(count: int) -> None:
        if count <= 3:
            raise ClusterUnavailableError("no answer")
        if count == 4:
            raise KeyError("a defect")

    looks = Looks(fails)
    passes: list[int] = []
    queue = WorkQueue("vmbackups", looks, on_pass=lambda: passes.append(1))
    add_later = queue.add_later

    def record(key: Key, seconds: float) -> None:
        pauses.append(seconds)
        add_later(key, seconds)

    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkQueue, "add_later", lambda _self, key, seconds: record(key, seconds))
        async with working(queue):
            queue.add(KEY)
            await looks.until(5)
            await asyncio.sleep(0)
    assert pauses == [0.01, 0.02, 0.04, 0.04]
    assert passes == [1], "only a look that went well is a sign of life"
    assert "a defect while reconciling" in caplog.text


async def test_people_are_told_what_may_last() -> None:
    """A refusal is told at once; what may pass by itself only after several tries."""
    told: list[SafeholdError] = []

    async def tell(_: Key, error: SafeholdError) -> None:
        told.append(error)

    async def refused(count: int) -> None:
        if count == 1:
            raise ClusterError("refused")
        if count <= 5:
            raise ClusterUnavailableError("no answer")

    looks = Looks(refused)
    queue = WorkQueue("vmbackups", looks, complain=tell)
    async with working(queue):
        queue.add(KEY)
        await looks.until(6)
    assert [error.what for error in told] == ["refused", "no answer", "no answer"]


async def test_a_queue_that_ends_leaves_no_timers() -> None:
    """Cancelled, it forgets what was to be looked at later."""

    async def later(_: int) -> float:
        return 3600

    looks = Looks(later)
    queue = WorkQueue("vmbackups", looks)
    async with working(queue):
        queue.add(KEY)
        await looks.until(1)
        await asyncio.sleep(0)
    assert not queue._timers


async def test_many_events_within_a_while_are_one_look() -> None:
    """What may wait a moment is looked at once for all of it, and not later than said."""
    looks = Looks()
    queue = WorkQueue("backuppolicies", looks)
    async with working(queue):
        for _ in range(5):
            queue.add_within(KEY, 0.05)
        assert (looks.count, queue.scheduled()) == (0, 1)
        await looks.until(1)
        await asyncio.sleep(0.1)
    assert looks.count == 1


async def test_a_look_that_is_due_sooner_is_not_put_off() -> None:
    """A due run begins when it is due, whatever events there are."""
    looks = Looks()
    queue = WorkQueue("backuppolicies", looks)
    async with working(queue):
        queue.add_later(KEY, 0.01)
        queue.add_within(KEY, 60)
        await looks.until(1)


async def test_an_event_during_a_look_may_wait_too() -> None:
    """It is kept until the look is over, and not forgotten for the later time that the look asks for."""
    going_on = asyncio.Event()

    async def wait(count: int) -> float | None:
        if count == 1:
            await going_on.wait()
        return 60

    looks = Looks(wait)
    queue = WorkQueue("backuppolicies", looks)
    async with working(queue):
        queue.add(KEY)
        await looks.until(1)
        queue.add_within(KEY, 0.01)
        going_on.set()
        await looks.until(2)


async def test_what_is_in_line_for_other_reasons_does_not_count_as_work() -> None:
    """Active, due and later looks are work; those named `besides` are not, while they are in line."""
    queue = WorkQueue("vmbackups", Looks())
    for name in ("due", "queued", "queued-too"):
        queue.add(("shop", name))
    queue.add_later(("shop", "later"), 60)
    assert queue.at_work() == 4
    assert queue.at_work(besides={("shop", "queued"), ("shop", "queued-too"), ("shop", "later")}) == 2
