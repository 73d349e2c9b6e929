"""When each VMBackup of a run appeared, seen by a watch of its own."""

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_BACKUP
from safehold.plan.names import VM
from safehold.plan.policy.facts import RUN

_WATCH_SECONDS = 600
_POLL_SECONDS = 0.2
_RUN_FORMAT = "%Y%m%dt%H%M%S"


@dataclass(slots=True)
class Arrivals:
    """By run time: each VMBackup's VM, and when it was seen (seconds since 1970)."""

    cluster: Cluster
    seen: dict[datetime, list[tuple[str, str, float]]] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async for event in self.cluster.watch(VM_BACKUP, timeout_seconds=_WATCH_SECONDS, metadata_only=True):
                metadata = event.manifest["metadata"]
                if event.type == "ADDED" and metadata["uid"] not in self._known:
                    self._known.add(metadata["uid"])
                    due = datetime.strptime(metadata["labels"][RUN], _RUN_FORMAT).replace(tzinfo=UTC)
                    self.seen.setdefault(due, []).append((metadata["namespace"], metadata["labels"][VM], time.time()))

    def of(self, runs: Iterable[datetime]) -> "Lateness":
        """The runs' VMBackups, all together."""
        found = [(due, *each) for due in runs for each in self.seen.get(due, [])]
        twice = len(found) - len({(due, namespace, vm) for due, namespace, vm, _ in found})
        return Lateness(sorted(at - due.timestamp() for due, _, _, at in found), twice)

    async def until(self, runs: Iterable[datetime], count: int, seconds: float) -> bool:
        """Wait for so many VMBackups of the runs; whether they came in time."""
        runs, end = list(runs), time.monotonic() + seconds
        while True:
            if sum(len(self.seen.get(due, [])) for due in runs) >= count:
                return True
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after their due time VMBackups appeared, in seconds and in order; and how many came twice."""

    seconds: list[float]
    twice: int

    def quantile(self, share: float) -> float:
        """The least lateness that no more than 1 - `share` of them exceed."""
        return self.seconds[max(0, math.ceil(share * len(self.seconds)) - 1)] if self.seconds else math.inf
