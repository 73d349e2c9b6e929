"""What is expected of every run at one moment: of those in the fair queue, and of the next one of each VM."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest

from safehold.plan.fair_queue import Claim, FairQueue, Key
from safehold.plan.load.appointments import Appointment, PolicyAppointments
from safehold.plan.load.experience import Experience
from safehold.plan.load.order import Sorting
from safehold.plan.load.projection import ExpectedRun, Lineup

MOST_COMING = 10_000
"""Runs to come that are played ahead, the next ones: two of each VM of a large fleet, in about half a second."""


@dataclass(slots=True)
class Expectations:
    """What is learnt and appointed, and with it what is expected of any run."""

    experience: Experience = field(default_factory=Experience)
    appointments: dict[str, PolicyAppointments] = field(default_factory=dict)
    """By the uid of the policy."""

    def of(self, key: Key, claim: Claim, now: datetime, begun: datetime | None = None) -> ExpectedRun:
        """What is expected of a run that is in the queue; `begun` of one that is active."""
        appointment = self._appointment(claim)
        ready = begun or now
        return ExpectedRun(
            key=key,
            claim=claim,
            ready=ready,
            estimate=self.experience.estimate((claim.namespace, claim.vm), ready),
            due=self._due(claim, appointment),
            appointment=appointment,
        )

    def rank(self, sorting: Sorting, now: datetime) -> "Ranking":
        """The order for the lines of the queue, also for runs that come later."""
        return Ranking(self, sorting, now)

    def lineup(self, queue: FairQueue, begun: Mapping[Key, datetime], now: datetime) -> Lineup:
        """All runs. `begun` is when active ones became so; the longest ago that is known."""
        return Lineup(
            now=now,
            limit=queue.limit,
            limits=dict(queue.limits),
            active=tuple(self.of(key, claim, now, begun.get(key, now)) for key, claim in queue.active.items()),
            waiting=tuple(self.of(key, claim, now) for key, claim in queue.waiting.items()),
            coming=tuple(self._coming(queue, now)),
        )

    def _coming(self, queue: FairQueue, now: datetime) -> Iterator[ExpectedRun]:
        claims = (*queue.active.values(), *queue.waiting.values())
        unfinished = {(claim.policy, claim.namespace, claim.vm) for claim in claims}
        following = (
            (appointment.moment, policy, vm, appointment)
            for policy, appointments in self.appointments.items()
            for vm, appointment in appointments.next.items()
            if appointment.moment > now
        )
        for moment, policy, vm, appointment in nsmallest(MOST_COMING, following, key=lambda one: one[:3]):
            pool = self.appointments[policy].pools[vm[0]]
            claim = Claim(namespace=vm[0], since=moment, pools=frozenset((pool,)), vm=vm[1], policy=policy)
            yield ExpectedRun(
                # No object's name has a slash: nothing in the queue is called so.
                key=(vm[0], f"{policy}/{vm[1]}"),
                claim=claim,
                ready=moment,
                estimate=self.experience.estimate(vm, moment),
                due=self._due(claim, appointment, renewed=(policy, *vm) in unfinished),
                appointment=appointment,
            )

    def _appointment(self, claim: Claim) -> Appointment | None:
        appointments, vm = self.appointments.get(claim.policy), (claim.namespace, claim.vm)
        if appointments is None:
            return None
        following = appointments.next.get(vm)
        # Appointments are renewed now and then: what was the next run may be in the queue already.
        if following is not None and following.moment <= claim.since:
            return following
        return appointments.last.get(vm)

    def _due(self, claim: Claim, appointment: Appointment | None, *, renewed: bool = False) -> datetime | None:
        """`renewed`: the VM gets another point before."""
        if appointment is None:
            return None
        objective = self.appointments[claim.policy].objective
        if objective is None:
            return appointment.due
        newest = None if renewed else self.appointments[claim.policy].points.get((claim.namespace, claim.vm))
        return (newest or appointment.moment) + objective


@dataclass(frozen=True, slots=True)
class Ranking:
    """A rank by one order, of runs as they are expected to be."""

    expectations: Expectations
    sorting: Sorting
    now: datetime

    def __call__(self, key: Key, claim: Claim) -> datetime:
        """By which time the run is sorted."""
        return self.sorting.place(self.expectations.of(key, claim, self.now))
