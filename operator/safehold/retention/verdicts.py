"""What becomes of each restore point of a VM: the keep rules, and what stands above them.

A point's governor is the policy that made it, or the tier of it where that has rules of its own; its rules count as
they are now. A point that no policy made, or one whose policy is gone, stays. Of a VM that exists, the newest point and
the newest verified one stay; of every VM those that are held.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from safehold.retention.rules import RetentionRules
from safehold.retention.selection import Choice, choose, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One restore point of a VM."""

    id: str
    time: datetime
    """The point in time that it holds."""
    governor: str | None = None
    """Whose rules decide about it, as a key of `judge`'s rules; None: a person made it."""
    verified: bool = False
    """Whether all of its disks were read, so that it rests on nobody's word about what had changed."""
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Whether the VM of the points still exists, and if not, since when that is known."""

    exists: bool = True
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a point stays, the rule that decided, and why as one sentence."""

    point: Point
    keep: bool
    rule: str
    reason: str


def judge(
    points: Iterable[Point], rules: Mapping[str, RetentionRules], machine: Machine, now: datetime
) -> list[Verdict]:
    """The verdict on every point of one VM, newest first. `rules` are by governor.

    Carried out in part and decided again, it comes to the same points.
    """
    ordered = sorted(points, key=lambda point: (point.time, point.id), reverse=True)
    chosen = _chosen(ordered, rules)
    stranded = _never_stranded(ordered) if machine.exists else {}
    return [_judge(point, rules, chosen, stranded, machine, now) for point in ordered]


def going(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those on points that go, oldest first: whatever stops their deletion, the newest are left."""
    return sorted((verdict for verdict in verdicts if not verdict.keep), key=lambda verdict: verdict.point.time)


def _judge(
    point: Point,
    rules: Mapping[str, RetentionRules],
    chosen: Mapping[str, Choice],
    stranded: Mapping[str, Verdict],
    machine: Machine,
    now: datetime,
) -> Verdict:
    if point.held:
        return Verdict(point, True, "hold", "held, by spec.hold of its VMBackup or in the repository")
    rule = rules.get(point.governor or "")
    if rule is None:
        return _ungoverned(point)
    if not machine.exists:
        verdict = _of_gone_machine(point, rule, machine, now)
    else:
        choice = chosen[point.id]
        verdict = Verdict(point, choice.keep, choice.rule, choice.reason)
    if not verdict.keep and point.id in stranded:
        return stranded[point.id]
    if not verdict.keep and now - point.time < rule.minimum_age:
        return Verdict(point, True, "minimumAge", f"minimumAge: younger than {in_words(rule.minimum_age)}")
    return verdict


def _ungoverned(point: Point) -> Verdict:
    whose = (
        "made by hand" if point.governor is None else "the policy that made it is gone, or says nothing of retention"
    )
    return Verdict(point, True, "none", f"no policy governs it: {whose}")


def _chosen(ordered: Sequence[Point], rules: Mapping[str, RetentionRules]) -> dict[str, Choice]:
    """What the keep rules say, for each governor's points by themselves. Held points use up nothing."""
    chosen: dict[str, Choice] = {}
    for governor, rule in rules.items():
        own = [point for point in ordered if point.governor == governor and not point.held]
        if rule.keeps_something:
            choices = choose([point.time for point in own], rule)
        else:
            choices = [Choice(True, "none", "the policy has no keep rule")] * len(own)
        chosen |= {point.id: choice for point, choice in zip(own, choices, strict=True)}
    return chosen


def _never_stranded(ordered: Sequence[Point]) -> dict[str, Verdict]:
    """Of a VM that exists: its newest point, and its newest one that was verified."""
    kept = {}
    if verified := next((point for point in ordered if point.verified), None):
        kept[verified.id] = Verdict(
            verified, True, "lastVerified", "the VM's newest point of which all disks were read"
        )
    for point in ordered[:1]:
        kept[point.id] = Verdict(point, True, "lastGood", "the VM's newest point")
    return kept


def _of_gone_machine(point: Point, rule: RetentionRules, machine: Machine, now: datetime) -> Verdict:
    if rule.after_vm_deleted == "Keep":
        return Verdict(point, True, "afterVMDeleted", "the VM is gone, and afterVMDeleted is Keep")
    grace = in_words(rule.deleted_vm_grace)
    if machine.gone_since is None or now - machine.gone_since < rule.deleted_vm_grace:
        return Verdict(point, True, "afterVMDeleted", f"the VM is gone; its points stay for {grace} (deletedVMGrace)")
    reason = f"afterVMDeleted: the VM has been gone for {grace} or more, since {machine.gone_since:%Y-%m-%d}"
    return Verdict(point, False, "afterVMDeleted", reason)
