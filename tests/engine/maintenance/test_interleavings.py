"""Writers, collectors and compaction at the same time: in no order of their steps is a completed point damaged.

The real programs run in threads on one store in memory. Each stops at every step that others can notice (a listing, an
object that appears or disappears); a scheduler lets one go on to a step, then the other, then each to its end, for all
pairs of steps. Time passes as a step of the collector's, so that among the histories are runs older than its patience.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from safehold.engine.changed_blocks.extent_list import ExtentList
from safehold.engine.condemned import GRACE
from safehold.engine.maintenance.check import check
from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune
from safehold.engine.store.base import PartialUpload
from safehold.engine.store.passing import PassingStore
from safehold.errors import ExpiredRunError, StoreError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

    from safehold.engine.store.base import Body, ObjectEntry, ObjectStore
    from safehold.engine.store.memory import MemoryStore

CHUNK = 512
Noise = Callable[[int], bytes]


class Gate:
    """Lets an actor take so many steps, then holds all of its threads until it is opened."""

    def __init__(self, free_steps: int) -> None:
        self._left = free_steps
        self._lock = threading.Lock()
        self._open = threading.Event()
        self.held = threading.Event()
        """Set when the actor is held, or has ended."""
        self.steps = 0

    def step(self) -> None:
        """Come to a step that others notice."""
        with self._lock:
            self.steps += 1
            self._left -= 1
            stop = self._left < 0
        if stop and not self._open.is_set():
            self.held.set()
            self._open.wait(60)

    def open(self) -> None:
        """Let everything pass from now on."""
        self._open.set()


class SteppingStore(PassingStore):
    """One actor's view of the store that all share. Objects never change, so that reading one is no step."""

    def __init__(self, store: MemoryStore, gate: Gate) -> None:
        super().__init__(store)
        self._gate = gate

    def put(self, name: str, body: Body) -> None:
        """A step, then put."""
        self._gate.step()
        self._store.put(name, body)

    def start_upload(self, name: str) -> PartialUpload:
        """An upload whose completion is a step."""
        upload = self._store.start_upload(name)
        complete = upload.complete

        def step_and_complete() -> None:
            self._gate.step()
            complete()

        upload.complete = step_and_complete  # type: ignore[method-assign]
        return upload

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """A step, then list."""
        self._gate.step()
        return self._store.list(prefix, limit=limit)

    def delete(self, name: str) -> None:
        """A step, then delete."""
        self._gate.step()
        self._store.delete(name)


@dataclass
class Actor:
    """A program on its own thread."""

    script: Callable[[ObjectStore, Gate], None]
    store: MemoryStore
    gate: Gate
    failures: list[Exception] = field(default_factory=list)

    def start(self) -> threading.Thread:
        """Run until the gate holds or the script ends."""
        thread = threading.Thread(target=self._run)
        thread.start()
        self.gate.held.wait()
        return thread

    def _run(self) -> None:
        try:
            self.script(SteppingStore(self.store, self.gate), self.gate)
        except (ExpiredRunError, StoreError):
            pass  # it was too old, or found its upload ended because it was too old: that is the protocol
        except Exception as problem:  # noqa: BLE001 - told by the test
            self.failures.append(problem)
        finally:
            self.gate.held.set()


class History:
    """A repository in some state, its points with what they must restore to, and programs that run at the same time."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory
        self.contents: dict[str, bytes] = {}
        self._runs = 0

    def back_up(
        self, content: bytes, vm: str, store: ObjectStore | None = None, changes: ExtentList | None = None
    ) -> str:
        """A backup; returns the point's id. What it must restore to is remembered first: it may be noticed at once."""
        self._runs += 1
        run_id = f"history-{self._runs}"
        self.contents[run_id] = content
        disk = self.laboratory.disk(content, name=f"root-{vm}")
        return self.laboratory.back_up(
            disk, vm=vm, run_id=run_id, store=store, checkpoint="base", changes=changes
        ).point

    def forget_all(self, vm: str, store: ObjectStore | None = None) -> None:
        """Forget all points of a VM."""
        domain = self.laboratory.domain(store, create=False)
        for name in list(domain.points.names(self.laboratory.owner(vm))):
            domain.points.forget(domain.points.read(name))

    def pass_time(self, gate: Gate | None = None) -> None:
        """The store's clock moves on until nothing that ran before may still run; a step like any other."""
        if gate:
            gate.step()
        self.laboratory.store.now += GRACE

    def assert_sound(self) -> int:
        """Everything that points need is there, and they hold what was backed up; returns how many points there are."""
        found = check(self.laboratory.domain(create=False), read_percent=100)
        assert (found.damages, found.losses) == ([], [])
        points = self.laboratory.domain(create=False).points
        names = list(points.all())
        for name in names:
            manifest = points.read(name)
            volume = manifest.volumes[0].name
            assert self.laboratory.restored(manifest, volume) == self.contents[manifest.run_id]
        return len(names)


Script = tuple[Callable[["ObjectStore", Gate], None], Callable[["ObjectStore", Gate], None]]
"""What the two actors do."""


def run(history: History, script: Script, first_steps: int, second_steps: int, first: int) -> tuple[int, int]:
    """One schedule: one actor to a step, the other to a step, then each to its end; returns the steps they took."""
    store = history.laboratory.store
    gates = [Gate(first_steps if number == first else second_steps) for number in range(2)]
    actors = [Actor(each, store, gate) for each, gate in zip(script, gates, strict=True)]
    ordered = [actors[first], actors[1 - first]]
    threads = [actor.start() for actor in ordered]
    for actor, thread in zip(ordered, threads, strict=True):
        actor.gate.open()
        thread.join(60)
        assert not thread.is_alive()
    failures = [failure for actor in actors for failure in actor.failures]
    assert not failures, failures
    return gates[0].steps, gates[1].steps


def prepared(history: History, noise: Noise) -> bytes:
    """A VM that stays, and the points of one that is gone, which nothing but a new backup of the same bytes needs."""
    content = noise(12 * CHUNK)
    history.back_up(noise(6 * CHUNK) + content[: 3 * CHUNK], "stays")
    history.back_up(content, "gone")
    history.forget_all("gone")
    history.pass_time()
    return content


def reuse(history: History, content: bytes) -> Callable[[ObjectStore, Gate], None]:
    """A backup that finds everything in what is being collected."""
    return lambda store, _: void(history.back_up(content, "late", store))


def collect(history: History) -> Callable[[ObjectStore, Gate], None]:
    """Two prunes, the second as early as it may sweep what the first condemned."""

    def script(store: ObjectStore, gate: Gate) -> None:
        prune(history.laboratory.domain(store, create=False))
        history.pass_time(gate)
        prune(history.laboratory.domain(store, create=False))

    return script


def rewrite(history: History) -> Callable[[ObjectStore, Gate], None]:
    """Compaction, and a prune that sweeps what it replaced."""

    def script(store: ObjectStore, gate: Gate) -> None:
        compact(history.laboratory.domain(store, create=False))
        history.pass_time(gate)
        prune(history.laboratory.domain(store, create=False))

    return script


def void(_: object) -> None:
    """Scripts return nothing."""


def writer_and_collector(history: History, content: bytes) -> Script:
    """A new VM reuses what is being collected."""
    return reuse(history, content), collect(history)


def writer_and_compaction(history: History, content: bytes) -> Script:
    """A new VM reuses what is being rewritten."""
    return reuse(history, content), rewrite(history)


def heir_and_collector(history: History, content: bytes) -> Script:
    """A run inherits from a parent that is forgotten and collected while it runs."""
    history.back_up(content, "late")
    history.pass_time()

    def script(store: ObjectStore, gate: Gate) -> None:
        history.forget_all("late", store)
        collect(history)(store, gate)

    return reuse(history, content[: 10 * CHUNK] + bytes(2 * CHUNK)), script


def told_heir(history: History, content: bytes) -> Callable[[ObjectStore, Gate], None]:
    """A run that is told what changed since a parent, and inherits most of its map unread."""
    history.back_up(content, "late")
    history.pass_time()
    after = content[: 10 * CHUNK] + bytes(2 * CHUNK)
    line = f'{{"offset": {10 * CHUNK}, "length": {2 * CHUNK}}}\n'
    return lambda store, _: void(history.back_up(after, "late", store, ExtentList([line], "base")))


def told_heir_and_collector(history: History, content: bytes) -> Script:
    """The parent is forgotten and collected meanwhile."""
    heir = told_heir(history, content)

    def script(store: ObjectStore, gate: Gate) -> None:
        history.forget_all("late", store)
        collect(history)(store, gate)

    return heir, script


def told_heir_and_compaction(history: History, content: bytes) -> Script:
    """The packs that the parent needs are rewritten meanwhile."""
    return told_heir(history, content), rewrite(history)


def two_collectors(history: History, content: bytes) -> Script:
    """Compaction and pruning at the same time, each followed by a sweep."""
    history.back_up(content[: 4 * CHUNK] + bytes(8 * CHUNK), "late")
    history.pass_time()
    return rewrite(history), collect(history)


@pytest.mark.parametrize("first", [0, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "story",
    [
        writer_and_collector,
        writer_and_compaction,
        heir_and_collector,
        told_heir_and_collector,
        told_heir_and_compaction,
        two_collectors,
    ],
    ids=lambda story: story.__name__,
)
def test_no_order_of_steps_damages_a_completed_point(
    laboratory: Laboratory, noise: Noise, story: Callable[[History, bytes], Script], first: int
) -> None:
    """After any schedule, and after all that was condemned in it is swept, every point restores what was backed up."""
    history = History(laboratory)
    script = story(history, prepared(history, noise))
    before = dict(laboratory.store.objects), dict(laboratory.store.modified), laboratory.store.now
    steps = run(history, script, 10_000, 10_000, first)
    assert min(steps) > 5
    outcomes: Counter[int] = Counter()
    for leader in range(steps[first] + 1):
        for follower in range(steps[1 - first] + 1):
            objects, modified, now = before
            laboratory.store.objects, laboratory.store.modified = dict(objects), dict(modified)
            laboratory.store.now = now
            free = (leader, follower) if first == 0 else (follower, leader)
            run(history, script, *free, first)
            history.pass_time()
            prune(laboratory.domain(create=False))
            outcomes[history.assert_sound()] += 1
    # A run that refused because it took too long leaves no point: that happens, and so does the other.
    assert len(outcomes) == (2 if story is not two_collectors else 1)
