"""When the runs of policies come into the queue over days, and when each has to be finished."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from safehold.api.timing import Timing
from safehold.plan.load.appointments import Appointment
from safehold.plan.load.history import VMKey
from safehold.plan.policy.timetable import Tier, Timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedPolicy:
    """A policy to simulate, with the VMs that it selects."""

    name: str
    timing: Timing
    pool: str
    """Its target."""
    vms: tuple[VMKey, ...]
    objective: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A run that comes into the queue at its appointment's moment."""

    policy: PlayedPolicy
    vm: VMKey
    appointment: Appointment


def arrivals(policies: Iterable[PlayedPolicy], begin: datetime, end: datetime, *, spread: bool) -> list[Arrival]:
    """All runs that come from `begin` until `end`, in order; without `spread` all VMs of a run come at once."""
    found = (
        Arrival(policy=policy, vm=vm, appointment=appointment)
        for policy in policies
        for vm, appointment in _appointments(policy, begin, end, spread=spread)
    )
    return sorted(found, key=lambda arrival: (arrival.appointment.moment, arrival.vm, arrival.policy.name))


def _appointments(
    policy: PlayedPolicy, begin: datetime, end: datetime, *, spread: bool
) -> Iterator[tuple[VMKey, Appointment]]:
    timetable = Timetable.parse(policy.timing, begin)
    runs = {tier.name: list(_runs(tier, begin, end)) for tier in timetable.tiers}
    for vm in policy.vms:
        moments: dict[datetime, datetime] = {}
        for tier in reversed(timetable.tiers):
            offset = tier.offset("/".join(vm)) if spread else timedelta()
            # Of several runs at one moment the last one is made, and of tiers the first one has it.
            moments |= {timetable.calendar.after(run, offset): run for run in runs[tier.name]}
        for moment, due in pairwise(sorted(moments)):
            if begin <= moment < end:
                closes = timetable.calendar.closing(moment)
                yield vm, Appointment(run=moments[moment], moment=moment, due=due, closes=closes)


def _runs(tier: Tier, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Those whose moments may lie between, and enough beyond the end to say when the last ones are due."""
    run = tier.schedule.latest_until(begin - tier.spread) or tier.schedule.next_after(begin)
    beyond = 0
    while beyond < 3:
        yield run
        beyond += run >= end
        run = tier.schedule.next_after(run)
