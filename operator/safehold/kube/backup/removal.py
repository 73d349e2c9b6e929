"""Taking away everything that carries one owner's labels, stage by stage, in the proven order."""

import asyncio

from safehold.kube.backup.group.hands import carry_out_group_step
from safehold.kube.backup.holds import set_policy
from safehold.kube.backup.leftovers import observe_leftovers
from safehold.kube.backup.memory import carry_out_memory_step
from safehold.kube.client import Cluster
from safehold.kube.kinds import (
    CLAIM,
    JOB,
    SECRET,
    VM_PULL_BACKUP,
    VM_SNAPSHOT,
    VOLUME,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from safehold.plan.backup.cleanup import CleanupStep, cleanup
from safehold.plan.backup.memory_facts import RemoveMemoryDump
from safehold.plan.backup.steps import Delete, GiveUpVolume, SetPolicy

_KINDS: dict[str, Kind] = {
    "Job": JOB,
    "Claim": CLAIM,
    "VolumeSnapshot": VOLUME_SNAPSHOT,
    "VolumeSnapshotContent": VOLUME_SNAPSHOT_CONTENT,
    "VirtualMachineSnapshot": VM_SNAPSHOT,
    "VirtualMachineBackup": VM_PULL_BACKUP,
    "Secret": SECRET,
}
_STAGE_SECONDS = 1.0
_STAGES = 60
"""Looks at one owner's leftovers; what is not gone by then, the next call goes on with."""


async def take_away(cluster: Cluster, step: CleanupStep, *, operator_namespace: str) -> None:
    """Do one step of a clean-up; it may have been done before."""
    match step:
        case Delete():
            kind = _KINDS[step.kind]
            namespace = (step.namespace or operator_namespace) if kind.namespaced else None
            await cluster.delete(kind, step.name, namespace, uid=step.uid)
        case SetPolicy():
            await set_policy(cluster, step)
        case GiveUpVolume():
            patch = {"metadata": {"uid": step.uid}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}}
            await cluster.merge_patch(VOLUME, step.name, None, patch)
        case RemoveMemoryDump():
            await carry_out_memory_step(cluster, step)
        case _:
            await carry_out_group_step(cluster, step)


async def remove_leftovers(
    cluster: Cluster, uid: str, *, operator_namespace: str, pulls: bool, groups: bool = False
) -> bool:
    """Take away all that the owner with this uid left, in all namespaces; whether nothing of it is there any more.

    `pulls`, `groups`: also backups of KubeVirt's own, and group snapshots: kinds for which there may be no rights.
    """
    for _ in range(_STAGES):
        found = await observe_leftovers(
            cluster, uid, operator_namespace=operator_namespace, namespace=None, pulls=pulls, groups=groups
        )
        steps = cleanup(found)
        if not steps and not found.pods:
            return True
        for step in steps:
            await take_away(cluster, step, operator_namespace=operator_namespace)
        await asyncio.sleep(_STAGE_SECONDS)
    return False
