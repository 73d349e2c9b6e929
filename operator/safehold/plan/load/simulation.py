"""Days of backups in moments: a fleet's runs, as Safehold plans them or as plain cron would start them.

Both share the same limits and pay the same costs. Plain cron starts all VMs of a run at once, first come first served
by their names; Safehold spreads them, gives namespaces turns, and sorts by deadline with what it has learnt so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush

from safehold.plan.fair_queue import Claim, FairQueue, Key
from safehold.plan.load.arrivals import Arrival, PlayedPolicy, arrivals
from safehold.plan.load.experience import Experience
from safehold.plan.load.fleets import Cost, Fleet
from safehold.plan.load.history import PastRun, VMKey
from safehold.plan.load.order import choose_order
from safehold.plan.load.projection import ExpectedRun, Lineup

REPLAN = timedelta(minutes=5)
"""How often the order is chosen anew while somebody waits; the controller does it every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRun:
    """A run that was played to its end."""

    arrival: Arrival
    begins: datetime
    ends: datetime
    due: datetime
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of all runs."""

    runs: tuple[PlayedRun, ...]
    left_out: int
    """Runs that were not made because the VM's earlier one was not over yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many runs may be active at once: of all, and of each target."""

    all: int
    targets: Mapping[str, int] = field(default_factory=dict)


def play(
    policies: Sequence[PlayedPolicy], fleet: Fleet, begin: datetime, end: datetime, limits: Limits, *, planned: bool
) -> Played:
    """Play everything that comes between, to its end; `planned` as Safehold does it, else as plain cron."""
    stage = _Stage(
        fleet=fleet,
        planned=planned,
        queue=FairQueue(limits.all, dict(limits.targets)),
        coming=arrivals(policies, begin, end, spread=planned)[::-1],
    )
    if planned:
        for run in fleet.history(begin):
            stage.experience.learn(run)
    while (now := stage.next_moment()) is not None:
        stage.end_runs(now)
        stage.welcome(now)
        stage.sort(now)
        stage.begin_runs(now)
    return Played(runs=tuple(stage.played), left_out=stage.left_out)


@dataclass(slots=True)
class _Stage:
    fleet: Fleet
    planned: bool
    queue: FairQueue
    coming: list[Arrival]
    """The last to come first."""
    experience: Experience = field(default_factory=Experience)
    played: list[PlayedRun] = field(default_factory=list)
    left_out: int = 0
    _unfinished: dict[Key, Arrival] = field(default_factory=dict)
    _active: dict[Key, PlayedRun] = field(default_factory=dict)
    _ends: list[tuple[datetime, Key]] = field(default_factory=list)
    _points: dict[VMKey, datetime] = field(default_factory=dict)
    """When each VM's newest point was captured."""
    _sorted: datetime | None = None

    def next_moment(self) -> datetime | None:
        """When something happens next; None when all is over."""
        moments = [self._ends[0][0]] if self._ends else []
        if self.coming:
            moments.append(self.coming[-1].appointment.moment)
        return min(moments, default=None)

    def end_runs(self, now: datetime) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, key = heappop(self._ends)
            self.queue.leave(key)
            run, arrival = self._active.pop(key), self._unfinished.pop(key)
            self.played.append(run)
            self._points[arrival.vm] = max(run.begins, self._points.get(arrival.vm, run.begins))
            if self.planned:
                self.experience.learn(_past(run))

    def welcome(self, now: datetime) -> None:
        while self.coming and self.coming[-1].appointment.moment <= now:
            arrival = self.coming.pop()
            namespace, name = arrival.vm
            key = (namespace, f"{arrival.policy.name}/{name}")
            if key in self._unfinished:
                self.left_out += 1
                continue
            self._unfinished[key] = arrival
            # Cron knows no tenants: all are in one line.
            turn = namespace if self.planned else ""
            pools = frozenset((arrival.policy.pool,))
            self.queue.wait(key, Claim(namespace=turn, since=arrival.appointment.moment, pools=pools, vm=name))

    def sort(self, now: datetime) -> None:
        """Choose the order anew, if it is time."""
        recent = self._sorted is not None and now - self._sorted < REPLAN
        if not self.planned or recent or not self.queue.waiting:
            return
        self._sorted = now
        lineup = Lineup(
            now=now,
            limit=self.queue.limit,
            limits=self.queue.limits,
            active=tuple(self._expected(key, claim, run.begins) for key, claim, run in self._active_runs()),
            waiting=tuple(self._expected(key, claim, now) for key, claim in self.queue.waiting.items()),
        )
        sorting = choose_order(lineup).sorting
        self.queue.reorder(lambda key, claim: sorting.place(self._expected(key, claim, now)))

    def begin_runs(self, now: datetime) -> None:
        for key in self.queue.next_up():
            self.queue.begin(key, self.queue.waiting[key])
            arrival = self._unfinished[key]
            cost = self.fleet.cost(arrival.vm, arrival.appointment.run)
            ends = now + timedelta(seconds=cost.seconds)
            self._active[key] = PlayedRun(arrival=arrival, begins=now, ends=ends, due=self._due(arrival), cost=cost)
            heappush(self._ends, (ends, key))

    def _active_runs(self) -> list[tuple[Key, Claim, PlayedRun]]:
        return [(key, claim, self._active[key]) for key, claim in self.queue.active.items()]

    def _expected(self, key: Key, claim: Claim, ready: datetime) -> ExpectedRun:
        arrival = self._unfinished[key]
        return ExpectedRun(
            key=key,
            claim=claim,
            ready=ready,
            estimate=self.experience.estimate(arrival.vm, ready),
            due=self._due(arrival),
            appointment=arrival.appointment,
        )

    def _due(self, arrival: Arrival) -> datetime:
        objective = arrival.policy.objective
        if objective is None:
            return arrival.appointment.due
        return self._points.get(arrival.vm, arrival.appointment.moment) + objective


def _past(run: PlayedRun) -> PastRun:
    arrival = run.arrival
    return PastRun(
        vm=arrival.vm,
        vm_uid="/".join(arrival.vm),
        started=run.begins,
        seconds=run.cost.seconds,
        waited=(run.begins - arrival.appointment.moment).total_seconds(),
        read=run.cost.read,
        uploaded=run.cost.uploaded,
    )
