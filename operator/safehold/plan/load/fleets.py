"""Fleets to simulate: one that was recorded in a cluster's VMBackups, or one that is made up from a seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import count, islice
from random import Random
from typing import Protocol, Self

from safehold.plan.load.history import PastRun, VMKey

GIB = 1 << 30
_WEEKS = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run really takes and moves."""

    seconds: float
    read: int
    uploaded: int


class Fleet(Protocol):
    """VMs, and what their backups cost."""

    def machines(self) -> Sequence[VMKey]:
        """All VMs, in order."""

    def cost(self, vm: VMKey, run: datetime) -> Cost:
        """Of the run of that time: the same whoever asks, and in whatever order runs are played."""

    def history(self, begin: datetime) -> Iterable[PastRun]:
        """What is known of earlier runs at the beginning."""


@dataclass(frozen=True, slots=True)
class RecordedFleet:
    """A run costs what an earlier one of the VM did, of the same day of the week where there was one."""

    runs: Mapping[VMKey, Sequence[PastRun]]
    """The oldest first."""
    seed: int

    @classmethod
    def of(cls, runs: Iterable[PastRun], seed: int) -> Self:
        """From runs of all VMs in any order."""
        by_vm: dict[VMKey, list[PastRun]] = {}
        for run in sorted(runs, key=lambda run: run.started):
            by_vm.setdefault(run.vm, []).append(run)
        return cls(by_vm, seed)

    def machines(self) -> Sequence[VMKey]:
        """Those of which runs were recorded."""
        return sorted(self.runs)

    def cost(self, vm: VMKey, run: datetime) -> Cost:
        """One of the recorded ones, drawn by seed, VM and time."""
        recorded = self.runs[vm]
        same_day = [each for each in recorded if each.started.weekday() == run.weekday()]
        drawn = _chance(self.seed, vm, run).choice(same_day or recorded)
        return Cost(max(1.0, drawn.seconds), drawn.read, drawn.uploaded)

    def history(self, begin: datetime) -> Iterable[PastRun]:
        """All recorded runs, whenever they were."""
        del begin
        return (run for runs in self.runs.values() for run in runs)


@dataclass(frozen=True, slots=True)
class _Guest:
    """A made-up VM: `size` in bytes, and how its runs go."""

    size: int
    changed: float
    """The usual share of the disk that a day changes."""
    knows_changes: bool
    """Whether only that share is read, or all."""
    busy_day: int | None
    """The day of the week on which five times as much changes."""


@dataclass(frozen=True, slots=True)
class GeneratedFleet:
    """So many VMs in so many namespaces, half of them in the first one; the same ones for the same seed.

    Disks are 60 GiB in the middle, and some are twenty times that; a run reads 400 MiB a second after 45 seconds for
    its snapshot and volumes. Half of the VMs know what changed, a fifth have a busy day a week, and one run in fifty
    takes six times as long as it should.
    """

    vms: int
    namespaces: int
    seed: int

    def machines(self) -> Sequence[VMKey]:
        """`vm-0001` and so on in `tenant-01` and so on."""
        first = (self.vms + 1) // 2 if self.namespaces > 1 else self.vms
        places = [0] * first + [1 + number % max(1, self.namespaces - 1) for number in range(self.vms - first)]
        return [(f"tenant-{place + 1:02d}", f"vm-{number:04d}") for number, place in enumerate(places, 1)]

    def cost(self, vm: VMKey, run: datetime) -> Cost:
        """Drawn by seed, VM and time."""
        guest, chance = _guest(self.seed, vm), _chance(self.seed, vm, run)
        changed = guest.size * guest.changed * chance.uniform(0.7, 1.4) * (5 if run.weekday() == guest.busy_day else 1)
        read = int(min(guest.size, changed) if guest.knows_changes else guest.size)
        seconds = (45 + read / (400 << 20)) * chance.uniform(0.9, 1.2) * (6 if chance.random() < 0.02 else 1)
        return Cost(seconds, read, int(min(guest.size, changed) * 0.6))

    def history(self, begin: datetime) -> Iterable[PastRun]:
        """A run a day of each VM in the four weeks before."""
        days = islice(count(1), _WEEKS // timedelta(days=1))
        times = [begin - timedelta(days=day) for day in days]
        return (self._past(vm, time) for vm in self.machines() for time in times)

    def _past(self, vm: VMKey, time: datetime) -> PastRun:
        cost = self.cost(vm, time)
        return PastRun(
            vm=vm,
            vm_uid="/".join(vm),
            started=time,
            seconds=cost.seconds,
            waited=0.0,
            read=cost.read,
            uploaded=cost.uploaded,
        )


@lru_cache(maxsize=65536)
def _guest(seed: int, vm: VMKey) -> _Guest:
    chance = Random(f"{seed}/{vm[0]}/{vm[1]}")  # noqa: S311 - a simulation
    return _Guest(
        size=int(60 * GIB * min(20.0, chance.lognormvariate(0, 1))),
        changed=chance.uniform(0.003, 0.03),
        knows_changes=chance.random() < 0.5,
        busy_day=chance.randrange(7) if chance.random() < 0.2 else None,
    )


def _chance(seed: int, vm: VMKey, run: datetime) -> Random:
    return Random(f"{seed}/{vm[0]}/{vm[1]}/{run.timestamp():.0f}")  # noqa: S311 - a simulation
