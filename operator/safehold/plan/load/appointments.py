"""When each VM's run has to be finished: what a policy's schedule, hours and objective say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from safehold.api.durations import parse_duration
from safehold.errors import SpecError
from safehold.plan.backup.turn import target_pool
from safehold.plan.load.history import VMKey
from safehold.plan.policy.facts import AnyPolicy, SelectedVM
from safehold.plan.policy.outcomes import NOTHING, Outcomes
from safehold.plan.policy.timetable import Tier, Timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """One run of a VM. `moment` is when it comes into the queue."""

    run: datetime
    moment: datetime
    due: datetime
    """When the next run's moment is: a run that is active then keeps its VM out of the next one."""
    closes: datetime | None
    """When the hours end in which it may begin; None where they never do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAppointments:
    """Of all VMs of one policy, the run whose moment came last, and the one that comes next."""

    last: Mapping[VMKey, Appointment]
    next: Mapping[VMKey, Appointment]
    pools: Mapping[str, str]
    """By namespace, which target's places its runs take."""
    objective: timedelta | None = None
    """How old a VM's newest point may get."""
    points: Mapping[VMKey, datetime] = field(default_factory=dict)
    """The point in time that each VM's newest restore point of the policy holds."""


def appointments_of(
    policy: AnyPolicy, vms: Iterable[SelectedVM], outcomes: Outcomes, now: datetime
) -> PolicyAppointments | None:
    """The appointments of the policy; None while it starts nothing: it is suspended, or its schedule is wrong."""
    if policy.spec.suspend:
        return None
    try:
        timetable = Timetable.parse(policy.spec, now)
    except SpecError:
        return None
    last: dict[VMKey, Appointment] = {}
    following: dict[VMKey, Appointment] = {}
    namespaces: set[str] = set()
    known = list(vms)
    for tier in timetable.tiers:
        runs = upcoming_runs(timetable, tier, now)
        for vm in known:
            key = (vm.namespace, vm.name)
            namespaces.add(vm.namespace)
            before, after = around(timetable, tier, vm.uid, runs, now)
            if before is not None and (vm.created is None or vm.created < before.moment):
                last[key] = _sooner(last.get(key), before)
            following[key] = _sooner(following.get(key), after)
    rpo = policy.spec.objectives.rpo
    return PolicyAppointments(
        last=last,
        next=following,
        pools={namespace: target_pool(policy.spec.target_ref, namespace) for namespace in namespaces},
        objective=parse_duration(rpo) if rpo else None,
        points=dict(_points(known, outcomes)) if rpo else {},
    )


def upcoming_runs(timetable: Timetable, tier: Tier, now: datetime) -> list[datetime]:
    """The run times that decide about every VM's last and next appointment, in order."""
    runs = tier.last_runs(timetable.calendar, now)
    for _ in range(2):
        runs.append(tier.schedule.next_after(runs[-1]))
    return runs


def around(
    timetable: Timetable, tier: Tier, uid: str, runs: list[datetime], now: datetime
) -> tuple[Appointment | None, Appointment]:
    """A VM's appointment whose moment came last, if there was one among `runs`, and the one that comes next."""
    offset, calendar = tier.offset(uid), timetable.calendar
    moments = [(run, calendar.after(run, offset)) for run in runs]
    place = next(place for place, (_, moment) in enumerate(moments) if moment > now)

    def appointment(at: int) -> Appointment:
        run, moment = moments[at]
        # Hours that stay closed let several runs begin at one moment, of which one is made.
        due = next((later for _, later in moments[at + 1 :] if later > moment), None)
        if due is None:
            due = calendar.after(tier.schedule.next_after(max(runs[-1], moment)), offset)
        return Appointment(run=run, moment=moment, due=due, closes=calendar.closing(moment))

    return (appointment(place - 1) if place else None), appointment(place)


def _sooner(known: Appointment | None, found: Appointment) -> Appointment:
    """Of several tiers, the one whose run has to be finished first: any point is as good as another."""
    return found if known is None or found.due < known.due else known


def _points(vms: Iterable[SelectedVM], outcomes: Outcomes) -> Iterator[tuple[VMKey, datetime]]:
    for vm in vms:
        key = (vm.namespace, vm.name)
        captured = outcomes.get(key, NOTHING).points.get(vm.uid)
        if captured is not None:
            yield key, captured
