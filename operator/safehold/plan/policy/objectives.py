"""Which VMs of a policy are behind its objective, and what its status says of them.

A VM's age is that of the point in time that its newest good restore point of this policy holds. A VM without one
counts from when the selectors began to match it. While a policy is suspended nothing is demanded of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from safehold.api.base import Condition
from safehold.api.durations import parse_duration
from safehold.api.objectives import MAX_AWAITED, MAX_WORST, AwaitedMachine, OverdueMachine
from safehold.api.policy import BackupPolicyStatus
from safehold.errors import SpecError
from safehold.plan.conditions import READY, set_condition
from safehold.plan.policy.facts import AnyPolicy, PolicyDecision, PolicyFacts, SelectedVM, called
from safehold.plan.policy.outcomes import NOTHING, MachineOutcome, Outcomes
from safehold.plan.policy.promises import Promises
from safehold.plan.policy.timetable import Timetable, schedule_digest
from safehold.reasons import Reason

OBJECTIVES_MET = "ObjectivesMet"
"""Of a policy: whether no VM is behind. Unknown while nothing is demanded, such as of a suspended policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one VM stands. `since` is what its age counts from: its newest point, or else its first match."""

    vm: SelectedVM
    captured: datetime | None
    since: datetime
    behind: bool
    outcome: MachineOutcome

    @property
    def is_anew(self) -> bool:
        """Whether only an earlier VM of its name has restore points: a lineage is a uid's, not a name's."""
        return self.captured is None and bool(self.outcome.points)


def with_objectives(
    policy: AnyPolicy, decision: PolicyDecision, facts: PolicyFacts, outcomes: Outcomes, now: datetime
) -> PolicyDecision:
    """The decision with a status that says how the VMs stand, too."""
    since = _schedule_since(policy, decision.status, now)
    standings = appraise(policy, facts.vms, outcomes, now, schedule_since=since)
    demanded = _unknown(policy, decision.status, standings) is None
    behind = sorted((one for one in standings if one.behind), key=lambda one: one.since)
    awaited = sorted((one for one in standings if one.captured is None), key=lambda one: (one.since, one.vm.uid))
    changes = {
        "matched_machines": len(facts.vms),
        "excluded_machines": facts.excluded,
        "protected_machines": sum(one.captured is not None and not one.behind for one in standings),
        "overdue_machines": len(behind) if demanded else None,
        "worst_machines": [_overdue(policy, decision.status, one) for one in behind[:MAX_WORST]] if demanded else [],
        "awaited_machines": [_awaited(policy, one) for one in awaited[:MAX_AWAITED]],
        "schedule_since": since,
    }
    conditions = set_condition(decision.status.conditions, _condition(policy, decision.status, standings, behind, now))
    return replace(decision, status=decision.status.model_copy(update={**changes, "conditions": conditions}))


def transition(before: BackupPolicyStatus, after: BackupPolicyStatus) -> Condition | None:
    """The condition that people should hear of: a VM fell behind, or all that were behind have caught up."""
    was, now = _told(before), _told(after)
    if now is None or now.status == "Unknown" or (was is not None and was.status == now.status):
        return None
    return now if now.status == "False" or (was is not None and was.status == "False") else None


def appraise(
    policy: AnyPolicy,
    vms: Iterable[SelectedVM],
    outcomes: Outcomes,
    now: datetime,
    *,
    schedule_since: datetime | None,
) -> list[Standing]:
    """How each VM stands. `schedule_since`: from when on the schedule's runs count, where it is the objective."""
    rpo = policy.spec.objectives.rpo
    promises = None if rpo or schedule_since is None else _promises(policy, now, schedule_since)
    matched = _Matched.of(policy, now)
    standings = []
    for vm in vms:
        outcome = outcomes.get((vm.namespace, vm.name), NOTHING)
        captured = outcome.points.get(vm.uid)
        since = captured or matched.since(vm)
        if rpo:
            behind = now - since > parse_duration(rpo)
        else:
            behind = promises is not None and _breaks(promises, vm, captured, since)
        standings.append(Standing(vm=vm, captured=captured, since=since, behind=behind, outcome=outcome))
    return standings


@dataclass(frozen=True, slots=True)
class _Matched:
    """Since when VMs without a point match, as far as the status remembers it."""

    known: dict[str, datetime]
    created: datetime
    fallback: datetime | None
    """For VMs that the status does not know: now, unless it may have forgotten some, or never looked."""

    @classmethod
    def of(cls, policy: AnyPolicy, now: datetime) -> "_Matched":
        status = policy.status
        complete = status.matched_machines is not None and len(status.awaited_machines) < MAX_AWAITED
        known = {awaited.uid: awaited.since for awaited in status.awaited_machines}
        return cls(known, policy.metadata.creation_timestamp or now, now if complete else None)

    def since(self, vm: SelectedVM) -> datetime:
        """When the selectors began to match it, or the earliest time at which they may have."""
        earliest = max(self.created, vm.created or self.created)
        return self.known.get(vm.uid) or self.fallback or earliest


def _promises(policy: AnyPolicy, now: datetime, since: datetime) -> Promises | None:
    try:
        return Promises.until(Timetable.parse(policy.spec, now), now, since)
    except SpecError:
        return None


def _breaks(promises: Promises, vm: SelectedVM, captured: datetime | None, since: datetime) -> bool:
    promise = promises.of(vm.uid)
    if promise is None:
        return False
    return since <= promise.moment if captured is None else captured < promise.run


def _schedule_since(policy: AnyPolicy, decided: BackupPolicyStatus, now: datetime) -> datetime | None:
    """A new policy counts from its creation, an edited or resumed schedule from now, one that starts nothing never."""
    before = policy.status
    if decided.next_schedule_time is None:
        return None
    if before.observed_generation is None:
        return policy.metadata.creation_timestamp or now
    unchanged = before.observed_schedule == schedule_digest(policy.spec)
    return before.schedule_since if unchanged and before.schedule_since else now


def _condition(
    policy: AnyPolicy,
    decided: BackupPolicyStatus,
    standings: Sequence[Standing],
    behind: Sequence[Standing],
    now: datetime,
) -> Condition:
    status: Literal["True", "False", "Unknown"]
    if unknown := _unknown(policy, decided, standings):
        status, (reason, message) = "Unknown", unknown
    elif behind:
        named = _listed([called(policy, one.vm.namespace, one.vm.name) for one in behind])
        status, reason = "False", Reason.BEHIND_OBJECTIVE.value
        message = f"{len(behind)} of {len(standings)} VMs have no restore point {_demand(policy)}, the worst: {named}"
    else:
        status, reason = "True", Reason.WITHIN_OBJECTIVE.value
        message = f"every VM has a restore point {_demand(policy)}, or still has time for its first one"
    if anew := [called(policy, one.vm.namespace, one.vm.name) for one in standings if one.is_anew]:
        message += f"; created again under old names, so that earlier restore points are not theirs: {_listed(anew)}"
    return Condition(
        type=OBJECTIVES_MET,
        status=status,
        observed_generation=policy.metadata.generation,
        last_transition_time=now,
        reason=reason,
        message=message,
    )


def _unknown(policy: AnyPolicy, decided: BackupPolicyStatus, standings: Sequence[Standing]) -> tuple[str, str] | None:
    """Why nothing can be said, as reason and message; None where something is demanded."""
    if policy.spec.suspend:
        return Reason.SUSPENDED.value, "nothing is demanded while spec.suspend is true"
    ready = _ready(decided)
    if not standings:
        return Reason.NO_VM_SELECTED.value, "the selectors match no VirtualMachine"
    if policy.spec.objectives.rpo is None and decided.next_schedule_time is None:
        return ready.reason, ready.message
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_WORST])


def _demand(policy: AnyPolicy) -> str:
    rpo = policy.spec.objectives.rpo
    return f"of the last {rpo} (spec.objectives.rpo)" if rpo else "of the last run whose time is over"


def _told(status: BackupPolicyStatus) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == OBJECTIVES_MET), None)


def _overdue(policy: AnyPolicy, decided: BackupPolicyStatus, one: Standing) -> OverdueMachine:
    reason, message = _why(decided, one)
    return OverdueMachine(
        name=called(policy, one.vm.namespace, one.vm.name),
        last_point_time=one.captured,
        matched_since=None if one.captured else one.since,
        reason=reason,
        message=message,
    )


def _why(decided: BackupPolicyStatus, one: Standing) -> tuple[str, str]:
    if failure := one.outcome.failure_since(one.since):
        return failure.reason, failure.message
    ready = _ready(decided)
    if ready.status != "True":
        return ready.reason, ready.message
    if one.is_anew:
        message = "this VM was created again under its old name: the restore points of the earlier one are not its own"
        return Reason.BEHIND_OBJECTIVE.value, message
    return Reason.BEHIND_OBJECTIVE.value, "no backup of it has ended since: it waits for its turn, or for its next run"


def _ready(decided: BackupPolicyStatus) -> Condition:
    return next(condition for condition in decided.conditions if condition.type == READY)


def _awaited(policy: AnyPolicy, one: Standing) -> AwaitedMachine:
    return AwaitedMachine(name=called(policy, one.vm.namespace, one.vm.name), uid=one.vm.uid, since=one.since)
