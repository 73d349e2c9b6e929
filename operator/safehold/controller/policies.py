"""Reconciles of BackupPolicy and ClusterBackupPolicy: create the due run's VMBackups, and say how things are."""

from dataclasses import replace
from functools import partial

from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.controller.memo import Operator
from safehold.controller.queue import Key, Reconcile
from safehold.kube.events import emit
from safehold.kube.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY
from safehold.kube.policies import create_backups, observe_policy
from safehold.kube.status import apply_status
from safehold.plan.policy.decision import next_run, with_refusals
from safehold.plan.policy.facts import AnyPolicy, PolicyDecision
from safehold.plan.policy.objectives import transition, with_objectives
from safehold.plan.policy.outcomes import newest_points


def reconciles(operator: Operator) -> dict[str, Reconcile]:
    """The reconcile of each kind, by its plural."""
    return {
        BACKUP_POLICY.plural: partial(reconcile_policy, operator),
        CLUSTER_BACKUP_POLICY.plural: partial(reconcile_cluster_policy, operator),
    }


async def reconcile_policy(operator: Operator, key: Key) -> float | None:
    """Bring a namespace's policy up to date."""
    found = await operator.cluster.get(BACKUP_POLICY, key[1], key[0])
    if found is None:
        operator.figures.drop(BACKUP_POLICY.kind, key)
        return None
    return await _reconcile(operator, BackupPolicy.model_validate(found))


async def reconcile_cluster_policy(operator: Operator, key: Key) -> float | None:
    """Bring a cluster's policy up to date."""
    found = await operator.cluster.get(CLUSTER_BACKUP_POLICY, key[1])
    if found is None:
        operator.figures.drop(CLUSTER_BACKUP_POLICY.kind, key)
        return None
    return await _reconcile(operator, ClusterBackupPolicy.model_validate(found))


async def _reconcile(operator: Operator, policy: AnyPolicy) -> float | None:
    if policy.metadata.deletion_timestamp is not None:
        # Somebody's finalizer may keep it for long: no run of it is to come, and nobody is alarmed about it.
        operator.load.forget(policy.metadata.uid)
        operator.figures.drop(policy.kind, (policy.metadata.namespace or "", policy.metadata.name))
        return None
    now = operator.now()
    facts = await observe_policy(
        operator.cluster,
        operator.fleet,
        policy,
        now=now,
        operator_namespace=operator.settings.operator_namespace,
        rules=operator.endpoint_rules,
    )
    decision = next_run(policy, facts, now)
    refusals = await create_backups(operator.cluster, decision.create)
    decision = with_refusals(policy, decision, refusals, now)
    outcomes = operator.outcomes.of(policy.metadata.uid)
    forecast = operator.load.expect(policy, facts.vms if facts.target is None else (), outcomes, now)
    decision = replace(decision, status=decision.status.model_copy(update={"forecast": forecast}))
    decision = with_objectives(policy, decision, facts, outcomes, now)
    await apply_status(operator.cluster, policy, policy.status, decision.status)
    operator.figures.show_policy(policy, decision, newest_points(facts.vms, outcomes))
    await _tell(operator, policy, decision)
    await _tell_objectives(operator, policy, decision)
    # A moment more, because the clock that a timer goes by may be a little ahead of the one that a run is due by.
    return None if decision.again is None else decision.again.total_seconds() + 0.05


async def _tell(operator: Operator, policy: AnyPolicy, decision: PolicyDecision) -> None:
    """Events on transitions: a run that starts, and a phase that changes."""
    status, now = decision.status, operator.now()
    if decision.create and status.last_schedule_time != policy.status.last_schedule_time:
        message = f"run of {status.last_schedule_time:%Y-%m-%d %H:%M} UTC: {len(decision.create)} VMBackups"
        await emit(operator.cluster, policy, reason="RunStarted", message=message, warning=False, now=now)
    if decision.missed:
        message = f"not started, because spec.startingDeadline is over: {', '.join(decision.missed)}"
        await emit(operator.cluster, policy, reason="RunMissed", message=message, warning=True, now=now)
    if decision.retried:
        message = f"failed for a reason that may pass, and is tried again: {', '.join(decision.retried)}"
        await emit(operator.cluster, policy, reason="BackupsRetried", message=message, warning=True, now=now)
    if decision.delayed:
        told = (f"{one.name} until {one.until:%Y-%m-%d %H:%M} UTC ({one.failures} times)" for one in decision.delayed)
        message = f"held back, because backups failed again and again: {', '.join(told)}"
        await emit(operator.cluster, policy, reason="BackupsDelayed", message=message, warning=True, now=now)
    if decision.skipped:
        message = f"left out, because their earlier backup is active: {', '.join(decision.skipped)}"
        await emit(operator.cluster, policy, reason="Overlap", message=message, warning=True, now=now)
    if status.phase != policy.status.phase:
        ready = next(condition for condition in status.conditions if condition.type == "Ready")
        warning = ready.status != "True"
        await emit(operator.cluster, policy, reason=ready.reason, message=ready.message, warning=warning, now=now)


async def _tell_objectives(operator: Operator, policy: AnyPolicy, decision: PolicyDecision) -> None:
    """An Event when the first VM falls behind, and when all have caught up."""
    told = transition(policy.status, decision.status)
    if told is not None:
        warning = told.status == "False"
        reason, message, now = told.reason, told.message, operator.now()
        await emit(operator.cluster, policy, reason=reason, message=message, warning=warning, now=now)
