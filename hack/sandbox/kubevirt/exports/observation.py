"""Reads what an export's source is at this moment."""

from __future__ import annotations

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import VM_BACKUP, VM_SNAPSHOT, VM_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import controller_uid
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.exports.source import (
    Source,
    backup_source,
    claim_source,
    machine_source,
    restored_claim_name,
    snapshot_source,
)
from sandbox.kubevirt.machines.lifecycle import FINAL_PHASES, phase_of
from sandbox.kubevirt.volumes import claim_names, template_volumes


async def observe(cluster: Cluster, caches: Caches, export: Object) -> Source:
    """What the export would serve now; kinds are those that admission lets through."""
    namespace, name = export["metadata"]["namespace"], export["spec"]["source"]["name"]
    match export["spec"]["source"]["kind"]:
        case "PersistentVolumeClaim":
            users = _users(caches, (namespace, name), export["metadata"]["uid"])
            return claim_source(namespace, name, caches.claims.get(name, namespace), users)
        case "VirtualMachine":
            return _machine(caches, namespace, name)
        case "VirtualMachineBackup":
            return backup_source(await cluster.get(VM_BACKUP, name, namespace))
        case _:
            return await _snapshot(cluster, caches, export)


def _machine(caches: Caches, namespace: str, name: str) -> Source:
    vm, vmi = caches.machines.get(name, namespace), caches.instances.get(name, namespace)
    names = list(claim_names(template_volumes(vm)).values()) if vm else []
    claims = caches.claims_named(names, namespace)
    return machine_source(vm, namespace, name, claims, runs=vmi is not None and phase_of(vmi) not in FINAL_PHASES)


async def _snapshot(cluster: Cluster, caches: Caches, export: Object) -> Source:
    namespace, name = export["metadata"]["namespace"], export["spec"]["source"]["name"]
    snapshot = await cluster.get(VM_SNAPSHOT, name, namespace)
    content_name = ((snapshot or {}).get("status") or {}).get("virtualMachineSnapshotContentName")
    content = await cluster.get(VM_SNAPSHOT_CONTENT, content_name, namespace) if content_name else None
    backups = content["spec"]["volumeBackups"] if content else []
    originals = [backup["persistentVolumeClaim"]["metadata"]["name"] for backup in backups]
    claims = caches.claims_named([restored_claim_name(export, original) for original in originals], namespace)
    vm = caches.machines.get(snapshot["spec"]["source"]["name"], namespace) if snapshot else None
    return snapshot_source(export, snapshot, content, vm, claims)


def _users(caches: Caches, claim: Key, export_uid: str) -> list[str]:
    """Pods that use the claim, but for the export's own."""
    namespace, name = claim
    return [
        pod["metadata"]["name"]
        for pod in caches.pods.list(namespace)
        if (pod.get("status") or {}).get("phase") not in FINAL_PHASES
        and controller_uid(pod) != export_uid
        and any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
            for volume in pod["spec"].get("volumes") or []
        )
    ]
