"""Objects that the tests create, and waiting for their statuses."""

from __future__ import annotations

from typing import Any

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import Kind
from sandbox.cluster.waiting import wait_until


def claim(namespace: str, name: str, mode: str, size: str, storage_class: str = "sandbox") -> Object:
    """A PersistentVolumeClaim."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "storageClassName": storage_class,
            "volumeMode": mode,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }


def machine(namespace: str, name: str, strategy: str = "Always", **annotations: str) -> Object:
    """A VirtualMachine with a volume `root` (Block) and a volume `data` (Filesystem)."""
    volumes = {"root": f"{name}-root", "data": f"{name}-data"}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "demo"}, "annotations": annotations},
        "spec": {
            "runStrategy": strategy,
            "template": {
                "metadata": {"labels": {"kubevirt.io/vm": name}},
                "spec": {
                    "domain": {
                        "devices": {"disks": [{"name": volume, "disk": {"bus": "virtio"}} for volume in volumes]}
                    },
                    "terminationGracePeriodSeconds": 10,
                    "volumes": [
                        {"name": volume, "persistentVolumeClaim": {"claimName": name_of_claim}}
                        for volume, name_of_claim in volumes.items()
                    ],
                },
            },
        },
    }


def snapshot(namespace: str, name: str, vm: str, **spec: Any) -> Object:
    """A VirtualMachineSnapshot."""
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"source": source, **spec}}


def restore(namespace: str, name: str, vm: str, snapshot_name: str, **spec: Any) -> Object:
    """A VirtualMachineRestore."""
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"target": target, "virtualMachineSnapshotName": snapshot_name, **spec},
    }


def export(namespace: str, name: str, kind: str, source: str, **spec: Any) -> Object:
    """A VirtualMachineExport with the token in the Secret exp-token."""
    groups = {
        "PersistentVolumeClaim": "",
        "VirtualMachine": "kubevirt.io",
        "VirtualMachineSnapshot": "snapshot.kubevirt.io",
    }
    reference = {"apiGroup": groups[kind], "kind": kind, "name": source}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"source": reference, "tokenSecretRef": "exp-token", **spec},
    }


def tracker(namespace: str, name: str, vm: str) -> Object:
    """A VirtualMachineBackupTracker."""
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"source": source}}


def backup(namespace: str, name: str, source: str, claim_name: str, **spec: Any) -> Object:
    """A VirtualMachineBackup through a tracker."""
    reference = {"apiGroup": "backup.kubevirt.io", "kind": "VirtualMachineBackupTracker", "name": source}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"source": reference, "pvcName": claim_name, **spec},
    }


async def settled(cluster: Cluster, kind: Kind, namespace: str, name: str, **status: Any) -> Object:
    """The object as soon as its status has these values."""

    def reached(obj: Object | None) -> bool:
        present = (obj or {}).get("status") or {}
        return all(present.get(field) == value for field, value in status.items())

    obj = await wait_until(cluster, kind, name, namespace, reached=reached, timeout_seconds=180)
    assert obj is not None
    return obj
