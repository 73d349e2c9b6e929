"""Policies in the cluster: the VMs that they select, the VMBackups that they made, and creating more."""

import asyncio
from collections.abc import Iterable

from safehold.api.policy import ClusterBackupPolicy
from safehold.api.vmbackup import VMBackup
from safehold.errors import ForbiddenError, InvalidObjectError, NamespaceEndingError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.fleet import Fleet, Member
from safehold.kube.kinds import VM_BACKUP
from safehold.kube.target.resolution import resolve_target
from safehold.plan.conditions import READY, is_finished, is_true
from safehold.plan.names import FINALIZER, POLICY_UID
from safehold.plan.policy import RUN, AnyPolicy, NewBackup, PolicyBackup, PolicyFacts, SelectedVM, is_made_by, run_label
from safehold.plan.refusal import Refusal
from safehold.plan.selection import select_namespaces, select_vms
from safehold.plan.target.endpoint import EndpointRules

CREATIONS = 8
"""VMBackups that are created side by side. One after another, the API server's answer to each would be waited for."""


async def observe_policy(
    cluster: Cluster, fleet: Fleet, policy: AnyPolicy, *, due: bool, operator_namespace: str, rules: EndpointRules
) -> PolicyFacts:
    """The facts for `safehold.plan.policy.next_run`."""
    vms = await _selected(fleet, policy)
    namespaces = sorted({vm.namespace for vm in vms})
    target = await _refused_target(cluster, policy, namespaces, operator_namespace, rules)
    return PolicyFacts(vms=vms, backups=await _backups(cluster, policy, due=due), target=target)


async def create_backups(cluster: Cluster, backups: Iterable[NewBackup]) -> list[Refusal]:
    """Create VMBackups, and say which the cluster does not take."""
    places = asyncio.Semaphore(CREATIONS)

    async def create(backup: NewBackup) -> Refusal | None:
        async with places:
            return await create_backup(cluster, backup)

    outcomes = await asyncio.gather(*map(create, backups), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Refusal)]


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


async def _selected(fleet: Fleet, policy: AnyPolicy) -> tuple[SelectedVM, ...]:
    vms: list[Member] = select_vms(policy.spec.selector, await fleet.machines.members(policy.metadata.namespace))
    if isinstance(policy, ClusterBackupPolicy):
        namespaces = await fleet.namespaces.members()
        reached = {namespace.name for namespace in select_namespaces(policy.spec.namespace_selector, namespaces)}
        vms = [vm for vm in vms if vm.namespace in reached]
    return tuple(SelectedVM(namespace=vm.namespace, name=vm.name) for vm in vms)


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


async def _backups(cluster: Cluster, policy: AnyPolicy, *, due: bool) -> tuple[PolicyBackup, ...]:
    """Of the last run only, unless a run is due: then earlier ones matter too, which may still be active."""
    labels = {POLICY_UID: policy.metadata.uid}
    last = policy.status.last_schedule_time
    if not due:
        if last is None:
            return ()
        labels[RUN] = run_label(last)
    found = await cluster.list(VM_BACKUP, policy.metadata.namespace, labels=labels)
    return tuple(_backup(manifest) for manifest in found if _is_made_by(policy, manifest))


def _is_made_by(policy: AnyPolicy, found: Manifest) -> bool:
    metadata = found["metadata"]
    run, vm = metadata["labels"].get(RUN, ""), found["spec"]["vm"]["name"]
    return is_made_by(policy.metadata.uid, name=metadata["name"], vm=vm, run=run)


def _backup(found: Manifest) -> PolicyBackup:
    backup = VMBackup.model_validate(found)
    conditions = backup.status.conditions
    return PolicyBackup(
        namespace=backup.metadata.namespace or "",
        vm=backup.spec.vm.name,
        run=backup.metadata.labels.get(RUN, ""),
        # One that has failed is over, though its clean-up may still wait, such as for a node that is away.
        finished=is_finished(conditions) or backup.status.failure is not None,
        succeeded=is_true(conditions, READY),
    )
