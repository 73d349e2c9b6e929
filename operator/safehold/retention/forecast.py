"""Which points will go next, when and why, as far as the runs to come are known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from safehold.retention.rules import RetentionRules
from safehold.retention.verdicts import Machine, Point, Verdict, going, judge


@dataclass(frozen=True, slots=True)
class Deletion:
    """A point that retention will let go at the first maintenance after `at`, the run that makes it superfluous."""

    at: datetime
    verdict: Verdict


def next_deletions(
    points: Sequence[Point],
    rules: Mapping[str, RetentionRules],
    machine: Machine,
    runs: Iterable[tuple[datetime, str]],
    now: datetime,
) -> list[Deletion]:
    """The first points of a VM to go, which is all that one run makes superfluous; none if no known run does.

    `runs` are times to come with the governor of the point that each is taken to make, in order.
    """
    known = list(points)
    if doomed := going(judge(known, rules, machine, now)):
        return [Deletion(now, verdict) for verdict in doomed]
    if not machine.exists:
        return _when_grace_ends(known, rules, machine, now)
    for number, (at, governor) in enumerate(runs):
        known.append(Point(id=f"run {number}", time=at, governor=governor, verified=True))
        if doomed := going(judge(known, rules, machine, at)):
            return [Deletion(at, verdict) for verdict in doomed]
    return []


def _when_grace_ends(
    points: Sequence[Point], rules: Mapping[str, RetentionRules], machine: Machine, now: datetime
) -> list[Deletion]:
    since = machine.gone_since or now
    governing = [rules[governor] for governor in {point.governor or "" for point in points} if governor in rules]
    ends = {since + rule.deleted_vm_grace for rule in governing if rule.after_vm_deleted == "Delete"}
    gone = Machine(exists=False, gone_since=since)
    for end in sorted(ends):
        if doomed := going(judge(points, rules, gone, end)):
            return [Deletion(end, verdict) for verdict in doomed]
    return []
