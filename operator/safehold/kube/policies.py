"""Policies in the cluster: the VMs that they select, the VMBackups that they made, and creating more."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from safehold.api.policy import ClusterBackupPolicy
from safehold.api.vmbackup import VMBackup
from safehold.errors import ForbiddenError, InvalidObjectError, NamespaceEndingError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.fleet import Fleet, Member
from safehold.kube.kinds import VM_BACKUP
from safehold.kube.target.resolution import resolve_target
from safehold.plan.conditions import READY, is_finished, is_true
from safehold.plan.names import FINALIZER, POLICY_UID, label_value
from safehold.plan.names import VM as VM_LABEL
from safehold.plan.policy.decision import due_vms
from safehold.plan.policy.facts import (
    PROBE,
    RUN,
    TIER,
    AnyPolicy,
    NewBackup,
    PolicyBackup,
    PolicyFacts,
    SelectedVM,
    attempt_of,
    is_made_by,
    last_runs,
)
from safehold.plan.refusal import Refusal
from safehold.plan.selection import is_excluded, matches, select_namespaces, select_vms
from safehold.plan.target.endpoint import EndpointRules

CREATIONS = 8
"""VMBackups that are created side by side. One after another, the API server's answer to each would be waited for."""
_MOST_NAMED = 30
"""VMs in one label selector; for more, all backups of the policy are listed."""


async def observe_policy(
    cluster: Cluster, fleet: Fleet, policy: AnyPolicy, *, now: datetime, operator_namespace: str, rules: EndpointRules
) -> PolicyFacts:
    """The facts for `safehold.plan.policy.decision.next_run`."""
    selector, members = policy.spec.selector, await _within_reach(fleet, policy)
    vms = tuple(_selected(vm) for vm in select_vms(selector, members))
    namespaces = sorted({vm.namespace for vm in vms})
    target = await _refused_target(cluster, policy, namespaces, operator_namespace, rules)
    due = due_vms(policy, vms, now)
    return PolicyFacts(
        vms=vms,
        excluded=sum(is_excluded(vm.labels) and matches(selector, vm.labels) for vm in members),
        backups=await _backups(cluster, policy, due),
        with_history=frozenset(vm.uid for vm in due),
        target=target,
    )


async def create_backups(cluster: Cluster, backups: Iterable[NewBackup]) -> list[tuple[NewBackup, Refusal]]:
    """Create VMBackups, and say which the cluster does not take."""
    places = asyncio.Semaphore(CREATIONS)
    wanted = list(backups)

    async def create(backup: NewBackup) -> Refusal | None:
        async with places:
            return await create_backup(cluster, backup)

    outcomes = await asyncio.gather(*map(create, wanted), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [(backup, outcome) for backup, outcome in zip(wanted, outcomes, strict=True) if isinstance(outcome, Refusal)]


async def create_backup(cluster: Cluster, backup: NewBackup) -> Refusal | None:
    """Create a VMBackup, unless it exists or its namespace ends; or why the cluster does not take this one."""
    metadata = {
        "name": backup.name,
        "namespace": backup.namespace,
        "labels": dict(backup.labels),
        # Kopf would add it with a write of its own as soon as it saw the object.
        "finalizers": [FINALIZER],
    }
    try:
        await cluster.create_if_absent(VM_BACKUP, {"metadata": metadata, "spec": dict(backup.spec)})
    except NamespaceEndingError:
        return None
    except (ForbiddenError, InvalidObjectError) as error:
        return Refusal(error.reason, str(error))
    return None


async def _within_reach(fleet: Fleet, policy: AnyPolicy) -> list[Member]:
    """All VMs of the namespaces that the policy is about."""
    members = await fleet.machines.members(policy.metadata.namespace)
    if not isinstance(policy, ClusterBackupPolicy):
        return members
    namespaces = await fleet.namespaces.members()
    reached = {namespace.name for namespace in select_namespaces(policy.spec.namespace_selector, namespaces)}
    return [vm for vm in members if vm.namespace in reached]


def _selected(vm: Member) -> SelectedVM:
    return SelectedVM(namespace=vm.namespace, name=vm.name, uid=vm.uid, created=vm.created)


async def _refused_target(
    cluster: Cluster, policy: AnyPolicy, namespaces: list[str], operator_namespace: str, rules: EndpointRules
) -> Refusal | None:
    """Why no namespace can use the target; where some can, the backups of the others say why not."""
    own = policy.metadata.namespace
    refusal: Refusal | None = None
    for namespace in [own] if own else namespaces:
        found = await resolve_target(
            cluster, policy.spec.target_ref, namespace, operator_namespace=operator_namespace, rules=rules
        )
        if not isinstance(found, Refusal):
            return None
        refusal = refusal or found
    return refusal


async def _backups(cluster: Cluster, policy: AnyPolicy, due: Sequence[SelectedVM]) -> tuple[PolicyBackup, ...]:
    """Of the last runs, and all of the VMs that are due: their earlier ones may be active, or have failed."""
    own = f"{POLICY_UID}={policy.metadata.uid}"
    selectors = []
    if len(due) > _MOST_NAMED:
        selectors.append(own)
    else:
        if due:
            selectors.append(f"{own},{VM_LABEL} in ({','.join(sorted({label_value(vm.name) for vm in due}))})")
        if runs := last_runs(policy.status):
            selectors.append(f"{own},{RUN} in ({','.join(sorted(runs))})")
    backups: dict[str, PolicyBackup] = {}
    for selector in selectors:
        async for page in cluster.pages(VM_BACKUP, policy.metadata.namespace, labels=selector):
            own_ones = (found for found in page.items if _is_made_by(policy, found))
            backups |= {found["metadata"]["uid"]: _backup(found) for found in own_ones}
    return tuple(backups.values())


def _is_made_by(policy: AnyPolicy, found: Manifest) -> bool:
    metadata, vm = found["metadata"], found["spec"]["vm"]["name"]
    return is_made_by(policy.metadata.uid, name=metadata["name"], vm=vm, labels=metadata["labels"])


def _backup(found: Manifest) -> PolicyBackup:
    backup = VMBackup.model_validate(found)
    conditions = backup.status.conditions
    return PolicyBackup(
        namespace=backup.metadata.namespace or "",
        vm=backup.spec.vm.name,
        run=backup.metadata.labels.get(RUN, ""),
        tier=backup.metadata.labels.get(TIER, ""),
        attempt=attempt_of(backup.metadata.labels),
        probe=PROBE in backup.metadata.labels,
        # One that has failed is over, though its clean-up may still wait, such as for a node that is away.
        finished=is_finished(conditions) or backup.status.failure is not None,
        succeeded=is_true(conditions, READY),
        cleaned_up=backup.status.completion_time is not None,
        reason=backup.status.failure.reason if backup.status.failure else "",
        ended=backup.status.completion_time or backup.status.start_time or backup.metadata.creation_timestamp,
    )
