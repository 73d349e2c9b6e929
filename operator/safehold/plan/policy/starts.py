"""Which VMs of a policy start now: each at its own moment of a run, once, and missed ones made up for once.

A VM's moment is the run time and its part of the spread, counted in allowed time: closed hours pause the count. Of
several runs whose moments have come, the latest makes up for all. What was due while nothing could start (a stretch
that `Progress` keeps) moves to the end of that stretch, and is spread again from there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from safehold.plan.policy.hours import OpenTime, Span
from safehold.plan.policy.timetable import Tier, Timetable

GRACE = timedelta(minutes=1)
"""A start that is this late was missed: longer than a look takes, about as long as a restart of the controller."""
MAX_STRETCHES = 8


class Machine(Protocol):
    """What a VM's moments depend on."""

    @property
    def uid(self) -> str:
        """From which its part of the spread is made."""

    @property
    def created(self) -> datetime | None:
        """Moments before this are not its own."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the starts of a policy are dealt with."""

    handled_until: datetime
    stretches: tuple[Span, ...] = ()
    """In which nothing could start, and whose starts are being made up for; in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One VM's start in one run."""

    uid: str
    tier: str
    run: datetime
    moment: datetime
    """When: moved by closed hours, stretches and delays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be done at one moment, and what is known afterwards."""

    due: tuple[Start, ...]
    missed: tuple[Start, ...]
    """Those that cannot start within the deadline any more."""
    held_back: tuple[Start, ...]
    """Those whose VM is delayed at their moment; `moment` is when they may start."""
    progress: Progress
    """What to go on from, once all of this is done."""
    next: datetime | None
    """When something is to be done next; None without VMs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """One VM in one tier around now. `last` came last, `next` comes next: run time and moment."""

    machine: Machine
    tier: Tier
    offset: timedelta
    last: tuple[datetime, datetime] | None
    next: tuple[datetime, datetime]

    def deadline(self, timetable: Timetable) -> datetime | None:
        """When the last start counts as missed."""
        if timetable.deadline is None or self.last is None:
            return None
        return self.last[0] + self.offset + timetable.deadline

    def moved(self, timetable: Timetable, stretches: Iterable[Span]) -> datetime | None:
        """The last moment, where it lies in a stretch moved to its end; spread there, unless that would be too late."""
        if self.last is None or (self.machine.created is not None and self.last[1] <= self.machine.created):
            return None
        moment, deadline, calendar = self.last[1], self.deadline(timetable), timetable.calendar
        for stretch in stretches:
            if stretch.start < moment <= stretch.end:
                moment = calendar.after(stretch.end, self.offset)
                if deadline is not None and moment > deadline:
                    moment = calendar.after(stretch.end)
        return moment


@dataclass(slots=True)
class _Findings:
    """By uid: of several tiers that are due at once, the first has the VM."""

    due: dict[str, Start] = field(default_factory=dict)
    missed: dict[str, Start] = field(default_factory=dict)
    held_back: dict[str, Start] = field(default_factory=dict)
    next: list[datetime] = field(default_factory=list)
    made_up: bool = True


def look(
    timetable: Timetable,
    machines: Sequence[Machine],
    progress: Progress,
    now: datetime,
    *,
    not_before: Mapping[str, datetime] | None = None,
    at_once: datetime | None = None,
) -> Look:
    """What starts now.

    `not_before`: by uid, until when a VM's starts are held back. `at_once`: the time of a run that was asked for and
    is not dealt with yet; in it all VMs start, whatever the hours and delays.
    """
    moments = [found for tier in timetable.tiers for found in _moments(timetable.calendar, tier, machines, now)]
    stretches = _stretches(timetable, moments, progress, now)
    found = _Findings()
    for one in moments:
        _sort_in(timetable, one, Progress(progress.handled_until, stretches), not_before or {}, now, found)
    if at_once is not None:
        _sort_in_at_once(machines, at_once, now, found)
    return Look(
        due=tuple(found.due.values()),
        missed=tuple(start for uid, start in found.missed.items() if uid not in found.due),
        held_back=tuple(start for uid, start in found.held_back.items() if uid not in found.due),
        progress=Progress(now, () if found.made_up else stretches),
        next=min(found.next, default=None),
    )


def _moments(calendar: OpenTime, tier: Tier, machines: Iterable[Machine], now: datetime) -> Iterator[_Moments]:
    *runs, upcoming = tier.last_runs(calendar, now)
    for machine in machines:
        offset, last = tier.offset(machine.uid), None
        ahead = (upcoming, calendar.after(upcoming, offset))
        for run in reversed(runs):
            moment = calendar.after(run, offset)
            if moment <= now:
                last = (run, moment)
                break
            ahead = (run, moment)
        yield _Moments(machine=machine, tier=tier, offset=offset, last=last, next=ahead)


def _stretches(
    timetable: Timetable, moments: Iterable[_Moments], progress: Progress, now: datetime
) -> tuple[Span, ...]:
    """Those so far, and one until now where starts were missed: nobody looked, or the target could not be used."""
    stretches = progress.stretches
    moved = (one.moved(timetable, stretches) for one in moments)
    if any(moment is not None and progress.handled_until < moment <= now - GRACE for moment in moved):
        stretches = (*stretches, Span(progress.handled_until, now))
    if len(stretches) > MAX_STRETCHES:
        first, second, *others = stretches
        stretches = (Span(first.start, second.end), *others)
    return stretches


def _sort_in(
    timetable: Timetable,
    one: _Moments,
    progress: Progress,
    not_before: Mapping[str, datetime],
    now: datetime,
    found: _Findings,
) -> None:
    found.next.append(one.next[1])
    planned = one.moved(timetable, progress.stretches)
    if planned is None or one.last is None:
        return
    uid, run = one.machine.uid, one.last[0]
    moment = max(planned, not_before.get(uid, planned))
    if moment > planned:
        moment = timetable.calendar.after(moment)
    start = Start(uid=uid, tier=one.tier.name, run=run, moment=moment)
    deadline = one.deadline(timetable)
    if planned > now:
        found.made_up = False
    if moment > now:
        found.next.append(moment)
        if progress.handled_until < planned <= now:
            found.held_back.setdefault(uid, start)
    elif moment > progress.handled_until:
        too_late = deadline is not None and now > deadline + GRACE
        (found.missed if too_late else found.due).setdefault(uid, start)


def _sort_in_at_once(machines: Iterable[Machine], at_once: datetime, now: datetime, found: _Findings) -> None:
    if at_once > now:
        found.next.append(at_once)
    else:
        for machine in machines:
            start = Start(uid=machine.uid, tier="", run=at_once, moment=at_once)
            found.due.setdefault(machine.uid, start)
