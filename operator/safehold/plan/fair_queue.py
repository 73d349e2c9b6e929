"""Whose run begins next: limits on what runs share, and fair turns between namespaces.

A turn goes to the namespace with the fewest active runs; among equals to the one that has had the fewest turns. So a
namespace with 1,000 VMs does not starve one with 3, and none holds more than its share of the slots for longer than a
run takes, however long its runs are. A namespace that comes (again) starts with as many turns as the one that has had
the fewest: nobody saves turns up. Within a namespace the run of the earliest rank goes first: the oldest, as long as
nobody has another order; one that waits for a pool that is full holds nobody up who does not need that pool.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

Key = tuple[str, str]
"""Namespace and name of a VMBackup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that is active or wants to be. Each run takes one place in every one of its pools."""

    namespace: str
    since: datetime
    pools: frozenset[str] = frozenset()
    """What it shares with other runs: a target, storage classes, a node."""
    vm: str = ""
    """Of which VM it is."""
    policy: str = ""
    """uid of the policy that made it; empty where a person did."""
    begun: datetime | None = None
    """When it became active, as far as its status told."""


Rank = Callable[[Key, Claim], datetime]
"""The earlier, the sooner is a run's turn in its namespace."""
_Place = tuple[datetime, datetime, Key]
"""Rank, age and key."""


def by_arrival(key: Key, claim: Claim) -> datetime:  # noqa: ARG001 - a Rank gets both
    """The oldest first."""
    return claim.since


@dataclass(slots=True)
class FairQueue:
    """Active and waiting runs. `limits` are those of pools; a pool without one takes any number."""

    limit: int
    """Of all active runs."""
    limits: dict[str, int] = field(default_factory=dict)
    active: dict[Key, Claim] = field(default_factory=dict)
    waiting: dict[Key, Claim] = field(default_factory=dict)
    rank: Rank = by_arrival
    _lines: dict[str, list[_Place]] = field(default_factory=dict)
    """Those that wait, by namespace, the earliest rank first, among equals the oldest."""
    _places: dict[Key, _Place] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    """How many each namespace with active or waiting runs has had."""

    def wait(self, key: Key, claim: Claim) -> None:
        """Queue a run; one that waits already keeps its age, with the claim as it is now."""
        if key in self.active:
            return
        self._unqueue(key)
        self._welcome(claim.namespace)
        self.waiting[key] = claim
        self._enqueue(key, claim)

    def reorder(self, rank: Rank) -> None:
        """From now on the runs of a namespace are in this order, those that wait and those to come."""
        self.rank = rank
        self._lines.clear()
        for key, claim in self.waiting.items():
            self._enqueue(key, claim)

    def begin(self, key: Key, claim: Claim) -> None:
        """The run is active from now on, whatever the limits are: a restarted controller finds such runs."""
        self._unqueue(key)
        if key not in self.active:
            self._welcome(claim.namespace)
            self._turns[claim.namespace] += 1
        self.active[key] = claim

    def leave(self, key: Key) -> bool:
        """The run has ended, or stops to wait; whether it was known."""
        claim = self.active.pop(key, None) or self._unqueue(key)
        if claim is None:
            return False
        here = claim.namespace
        if here not in self._lines and not any(other.namespace == here for other in self.active.values()):
            del self._turns[here]
        return True

    def next_up(self) -> list[Key]:
        """The waiting runs that may begin now, in the order of their turns."""
        used = Counter(pool for claim in self.active.values() for pool in claim.pools)
        active = Counter(claim.namespace for claim in self.active.values())
        turns, lines = dict(self._turns), {namespace: iter(line) for namespace, line in self._lines.items()}
        taken: list[Key] = []

        def precedence(namespace: str) -> tuple[int, int, _Place]:
            return active[namespace], turns[namespace], self._lines[namespace][0]

        while lines and len(self.active) + len(taken) < self.limit:
            namespace = min(lines, key=precedence)
            # Whoever does not fit now does not fit later either: turns only fill the pools.
            key = next((key for *_, key in lines[namespace] if self._fits(self.waiting[key].pools, used)), None)
            if key is None:
                del lines[namespace]
                continue
            taken.append(key)
            turns[namespace] += 1
            active[namespace] += 1
            used.update(self.waiting[key].pools)
        return taken

    def _fits(self, pools: Iterable[str], used: Counter[str]) -> bool:
        return all(used[pool] < self.limits[pool] for pool in pools if pool in self.limits)

    def _enqueue(self, key: Key, claim: Claim) -> None:
        place = self._places[key] = (self.rank(key, claim), claim.since, key)
        insort(self._lines.setdefault(claim.namespace, []), place)

    def _unqueue(self, key: Key) -> Claim | None:
        claim = self.waiting.pop(key, None)
        if claim is not None:
            line = self._lines[claim.namespace]
            del line[bisect_left(line, self._places.pop(key))]
            if not line:
                del self._lines[claim.namespace]
        return claim

    def _welcome(self, namespace: str) -> None:
        if namespace not in self._turns:
            self._turns[namespace] = min(self._turns.values(), default=0)
