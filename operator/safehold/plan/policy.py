"""What a policy does now: which VMs its due run backs up, and what its status says.

A run is due when the recorded next run time has come. Runs that were missed while the controller was down collapse to
one; a changed schedule and a resumed policy start counting from now. While the target cannot be used the due run waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.api.policy import MAX_MACHINE_NAMES, BackupPolicy, BackupPolicyStatus, ClusterBackupPolicy
from safehold.errors import SpecError
from safehold.plan.conditions import State, conditions_for
from safehold.plan.names import backup_labels, backup_name
from safehold.plan.refusal import Refusal
from safehold.plan.schedule import RunTimes, run_times
from safehold.reasons import Reason

AnyPolicy = BackupPolicy | ClusterBackupPolicy

RUN = "safehold.dev/run"
"""Label of a VMBackup that a policy creates: the run time, so that one run's backups are found without all others."""
_RUN_FORMAT = "%Y%m%dt%H%M%S"
LONGEST_PAUSE = timedelta(minutes=5)
"""How old the number of protected VMs may get."""
TARGET_POLL = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedVM:
    """A VirtualMachine that the policy's selectors match."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBackup:
    """A VMBackup that the policy created. `run` is the value of its RUN label."""

    namespace: str
    vm: str
    run: str
    finished: bool
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackup:
    """A VMBackup to create, if its name is free."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What the decision depends on."""

    vms: tuple[SelectedVM, ...]
    backups: tuple[PolicyBackup, ...]
    """Those of the last run; all of the policy's when a run is due."""
    target: Refusal | None
    """Why no namespace of the policy can use the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecision:
    """What to create first, and the status to apply then: a run counts once all its VMBackups exist."""

    status: BackupPolicyStatus
    create: tuple[NewBackup, ...] = ()
    again: timedelta | None = None
    skipped: tuple[str, ...] = field(default=())
    """VMs whose earlier backup is still active."""


def run_label(run: datetime) -> str:
    """The RUN label of a run time."""
    return run.astimezone(UTC).strftime(_RUN_FORMAT)


def is_made_by(policy_uid: str, *, name: str, vm: str, run: str) -> bool:
    """Whether a VMBackup is the policy's: labels are copied easily, but its name is made from them."""
    try:
        moment = datetime.strptime(run, _RUN_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return False
    return name == backup_name(policy_uid, vm, moment)


def _times_of(policy: AnyPolicy, now: datetime) -> RunTimes:
    """Which run is due, and the next one; a SpecError says what is wrong with the schedule."""
    spec, status = policy.spec, policy.status
    if status.observed_generation is None:
        since = policy.metadata.creation_timestamp or now
    elif status.observed_generation == policy.metadata.generation and status.next_schedule_time:
        since = status.next_schedule_time - timedelta(seconds=1)
    else:
        since = now
    return run_times(spec.schedule, spec.time_zone, suspend=spec.suspend, since=since, now=now)


def has_due_run(policy: AnyPolicy, now: datetime) -> bool:
    """Whether a run is due by the schedule; a wrong schedule has none."""
    try:
        return _times_of(policy, now).due is not None
    except SpecError:
        return False


def next_run(policy: AnyPolicy, facts: PolicyFacts, now: datetime) -> PolicyDecision:
    """Decide. Deciding twice on the same facts gives the same VMBackups."""
    try:
        times = _times_of(policy, now)
    except SpecError as error:
        status = _status(policy, facts, now, "Stalled", "Invalid", error.reason, str(error), next_schedule_time=None)
        return PolicyDecision(status=status)
    if policy.spec.suspend:
        message = "no run starts while spec.suspend is true"
        status = _status(policy, facts, now, "Ready", "Suspended", Reason.SUSPENDED, message, next_schedule_time=None)
        return PolicyDecision(status=status, again=LONGEST_PAUSE)
    if facts.target is not None:
        return _wait_for_target(policy, facts, facts.target, times, now)
    if not facts.vms:
        return _select_nothing(policy, facts, times, now)
    return _schedule(policy, facts, times, now)


def stay_due(policy: AnyPolicy, decision: PolicyDecision, refusals: Sequence[Refusal], now: datetime) -> PolicyDecision:
    """The decision once some of its VMBackups were refused: the others run, and the run stays due for these."""
    if not refusals:
        return decision
    message = f"{len(refusals)} VMBackups of the run could not be created, which is tried again: {refusals[0].message}"
    conditions = conditions_for(
        "Stalled",
        decision.status.conditions,
        generation=policy.metadata.generation,
        now=now,
        reason=refusals[0].reason,
        message=message,
    )
    changes = {"phase": "Stalled", "conditions": conditions, "next_schedule_time": decision.status.last_schedule_time}
    return replace(decision, status=decision.status.model_copy(update=changes), again=TARGET_POLL)


def _wait_for_target(
    policy: AnyPolicy, facts: PolicyFacts, refusal: Refusal, times: RunTimes, now: datetime
) -> PolicyDecision:
    waiting = refusal.reason is Reason.TARGET_NOT_READY
    overdue = "; the run that is due starts as soon as it can" if times.due else ""
    # The recorded time stays while its run is due, so that the run is not lost.
    status = _status(
        policy,
        facts,
        now,
        "InProgress" if waiting else "Stalled",
        "Waiting" if waiting else "Stalled",
        refusal.reason,
        refusal.message + overdue,
        next_schedule_time=times.due or times.next,
    )
    return PolicyDecision(status=status, again=TARGET_POLL)


def _select_nothing(policy: AnyPolicy, facts: PolicyFacts, times: RunTimes, now: datetime) -> PolicyDecision:
    message = "the selectors match no VirtualMachine, so nothing is protected; correct them or label the VMs"
    status = _status(
        policy, facts, now, "Stalled", "Stalled", Reason.NO_VM_SELECTED, message, next_schedule_time=times.next
    )
    return PolicyDecision(status=status, again=_until(times.next, now))


def _schedule(policy: AnyPolicy, facts: PolicyFacts, times: RunTimes, now: datetime) -> PolicyDecision:
    due = times.due
    last = due or policy.status.last_schedule_time
    active = {(backup.namespace, backup.vm) for backup in facts.backups if not backup.finished}
    label = run_label(due) if due else ""
    made = {(backup.namespace, backup.vm) for backup in facts.backups if backup.run == label}
    vms = [(vm, (vm.namespace, vm.name)) for vm in facts.vms] if due else []
    create = [_new_backup(policy, vm, due) for vm, key in vms if due and key not in active | made]
    skipped = [_called(policy, *key) for _, key in vms if key in active - made]
    message = f"{len(facts.vms)} VMs are backed up next at {times.next:%Y-%m-%d %H:%M} UTC"
    # It stays until the next run: the looks in between know nothing of what was active then.
    left_out = skipped[:MAX_MACHINE_NAMES] if due else policy.status.skipped_machine_names
    if left_out:
        message += f"; left out of the last run, their earlier backup being active: {', '.join(left_out)}"
    status = _status(
        policy,
        facts,
        now,
        "Ready",
        "Scheduled",
        Reason.SCHEDULED,
        message,
        last_schedule_time=last,
        next_schedule_time=times.next,
        skipped_machine_names=left_out,
        **({"active_backups": len(create) + len(active)} if due else {}),
    )
    return PolicyDecision(status=status, create=tuple(create), again=_until(times.next, now), skipped=tuple(skipped))


def _new_backup(policy: AnyPolicy, vm: SelectedVM, run: datetime) -> NewBackup:
    metadata, spec = policy.metadata, policy.spec
    return NewBackup(
        namespace=vm.namespace,
        name=backup_name(metadata.uid, vm.name, run),
        labels={**backup_labels(metadata.uid, metadata.name, vm.name), RUN: run_label(run)},
        spec={
            "vm": {"name": vm.name},
            "targetRef": spec.target_ref.to_wire(),
            "consistency": spec.consistency.to_wire(),
            **({"memoryDump": True} if spec.memory_dump else {}),
            "changedBlocks": spec.changed_blocks.to_wire(),
            "hooks": spec.hooks.to_wire(),
            "deletionPolicy": spec.deletion_policy,
        },
    )


def _status(
    policy: AnyPolicy,
    facts: PolicyFacts,
    now: datetime,
    state: State,
    phase: str,
    reason: Reason,
    message: str,
    **changes: Any,
) -> BackupPolicyStatus:
    generation = policy.metadata.generation
    conditions = conditions_for(
        state, policy.status.conditions, generation=generation, now=now, reason=reason, message=message
    )
    common = {
        "observed_generation": generation,
        "phase": phase,
        "conditions": conditions,
        "protected_machines": len(facts.vms),
        **_last_run(policy, facts),
    }
    return policy.status.model_copy(update={**common, **changes})


def _last_run(policy: AnyPolicy, facts: PolicyFacts) -> dict[str, Any]:
    """How the last run went, as far as it is."""
    last = policy.status.last_schedule_time
    run = [backup for backup in facts.backups if last and backup.run == run_label(last)]
    failed = sorted(
        _called(policy, backup.namespace, backup.vm) for backup in run if backup.finished and not backup.succeeded
    )
    told: dict[str, Any] = {
        "active_backups": sum(not backup.finished for backup in facts.backups),
        "failed_machines": len(failed),
        "failed_machine_names": failed[:MAX_MACHINE_NAMES],
    }
    if run and all(backup.succeeded for backup in run):
        told["last_successful_time"] = last
    return told


def _called(policy: AnyPolicy, namespace: str, vm: str) -> str:
    return vm if policy.metadata.namespace else f"{namespace}/{vm}"


def _until(moment: datetime | None, now: datetime) -> timedelta:
    return min(LONGEST_PAUSE, max(timedelta(), moment - now)) if moment else LONGEST_PAUSE
