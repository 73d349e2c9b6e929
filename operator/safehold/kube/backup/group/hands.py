"""Carries out what the plan decided about a group snapshot. Every step may find that it was done before."""

from safehold.api import API_VERSION
from safehold.kube.backup.group.kinds import required_kinds
from safehold.kube.backup.holds import hold_content, set_policy
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, VM_BACKUP
from safehold.plan.backup.group.steps import (
    CutGroup,
    GroupStep,
    HoldGroup,
    RemoveGroup,
    RemoveGroupContent,
    SetGroupPolicy,
    UnmarkClaim,
)
from safehold.plan.names import (
    GROUP_MARK,
)


async def carry_out_group_step(cluster: Cluster, step: GroupStep) -> None:
    """Do one step."""
    match step:
        case CutGroup():
            await _cut(cluster, step)
        case UnmarkClaim():
            await _unmark(cluster, step)
        case HoldGroup():
            kinds = await required_kinds(cluster)
            await hold_content(cluster, step, kind=kinds.content)
        case SetGroupPolicy():
            kinds = await required_kinds(cluster)
            await set_policy(cluster, step, kind=kinds.content)
        case RemoveGroup():
            await _remove(cluster, step)
        case RemoveGroupContent():
            kinds = await required_kinds(cluster)
            await cluster.delete(kinds.content, step.content, uid=step.uid)


async def _cut(cluster: Cluster, step: CutGroup) -> None:
    kinds = await required_kinds(cluster)
    for claim in step.claims:
        patch = {"metadata": {"uid": claim.uid, "labels": {GROUP_MARK: step.backup_uid}}}
        await cluster.merge_patch(CLAIM, claim.name, step.namespace, patch)
    owner = {"apiVersion": API_VERSION, "kind": VM_BACKUP.kind, "name": step.backup, "uid": step.backup_uid}
    group: Manifest = {
        "metadata": {
            "name": step.name,
            "namespace": step.namespace,
            "labels": dict(step.labels),
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "volumeGroupSnapshotClassName": step.class_name,
            "source": {"selector": {"matchLabels": {GROUP_MARK: step.backup_uid}}},
        },
    }
    await cluster.create_if_absent(kinds.snapshot, group)


async def _unmark(cluster: Cluster, step: UnmarkClaim) -> None:
    found = await cluster.get(CLAIM, step.name, step.namespace)
    if found is None or (found["metadata"].get("labels") or {}).get(GROUP_MARK) != step.backup_uid:
        return
    # Guarded: between the two calls somebody may have marked it anew.
    guard = found["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": guard, "labels": {GROUP_MARK: None}}}
    await cluster.merge_patch(CLAIM, step.name, step.namespace, patch)


async def _remove(cluster: Cluster, step: RemoveGroup) -> None:
    """Not between the making of its content and its finalizer: the content would stay, and what it cut with it."""
    kinds = await required_kinds(cluster)
    found = await cluster.get(kinds.snapshot, step.name, step.namespace) or {"metadata": {}}
    bound = "boundVolumeGroupSnapshotContentName" in (found.get("status") or {})
    if bound and not found["metadata"].get("finalizers"):
        return  # the next look finds it again
    await cluster.delete(kinds.snapshot, step.name, step.namespace, uid=step.uid)
