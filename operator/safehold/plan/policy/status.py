"""What a policy's status says in every case: conditions, counts, and how its last runs went."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from safehold.api.policy import MAX_MACHINE_NAMES, BackupPolicyStatus
from safehold.plan.conditions import State, conditions_for
from safehold.plan.policy.facts import (
    AnyPolicy,
    PolicyBackup,
    PolicyFacts,
    SelectedVM,
    called,
    final_attempts,
    last_runs,
    run_label,
)
from safehold.plan.policy.timetable import schedule_digest
from safehold.reasons import Reason


def policy_status(
    policy: AnyPolicy,
    facts: PolicyFacts,
    now: datetime,
    state: State,
    phase: str,
    reason: Reason,
    message: str,
    **changes: Any,
) -> BackupPolicyStatus:
    """The status in one state. `changes` are fields of it that differ from what they were."""
    generation = policy.metadata.generation
    conditions = conditions_for(
        state, policy.status.conditions, generation=generation, now=now, reason=reason, message=message
    )
    common = {
        "observed_generation": generation,
        "observed_schedule": schedule_digest(policy.spec),
        "phase": phase,
        "conditions": conditions,
        "matched_machines": len(facts.vms),
        **_last_runs(policy, facts),
    }
    return policy.status.model_copy(update={**common, **changes})


def _last_runs(policy: AnyPolicy, facts: PolicyFacts) -> dict[str, Any]:
    """How the last runs went, as far as they are."""
    labels = last_runs(policy.status)
    finals = final_attempts(facts.backups)
    latest: dict[tuple[str, str], PolicyBackup] = {}
    for backup in finals:
        if backup.run in labels:
            latest[backup.namespace, backup.vm] = backup
    failed = sorted(called(policy, *vm) for vm, backup in latest.items() if backup.finished and not backup.succeeded)
    return {
        "active_backups": sum(not backup.finished for backup in facts.backups),
        "failed_machines": len(failed),
        "failed_machine_names": failed[:MAX_MACHINE_NAMES],
        "last_successful_time": _last_success(policy, facts.vms, finals),
    }


def _last_success(policy: AnyPolicy, vms: Iterable[SelectedVM], finals: Iterable[PolicyBackup]) -> datetime | None:
    """The run time of the last run, if every VM that was there had its backup in it and each succeeded.

    Else what was known. Nothing is asked of the schedule: suspended, edited or wrong, it has no say in what ended.
    """
    known, last = policy.status.last_successful_time, policy.status.last_schedule_time
    if last is None:
        return known
    run = {(backup.namespace, backup.vm): backup.succeeded for backup in finals if backup.run == run_label(last)}
    awaited = {(vm.namespace, vm.name) for vm in vms if vm.created is None or vm.created <= last}
    return last if run and all(run.values()) and awaited <= run.keys() else known
