"""The objects around one VMRestore: a backup of VM orders, the restore, its target, what the worker recalls."""

from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.api import VMBackup, VMRestore
from safehold.api.capture import SnapshotHandle
from safehold.api.references import RepositoryKeyRef
from safehold.api.restore_point import RestorePoint
from safehold.plan.backup.capture_facts import CapturedVolume, SnapshotFacts
from safehold.plan.names import pair_name
from safehold.plan.restore.point.description import point_of
from safehold.plan.storage import ClaimShape
from safehold.plan.target.use import TargetFacts
from safehold.run import RepositoryPlace

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GIB = 1024**3
POINT = "0123456789abcdef-000007-fedcba9876543210"
CLUSTER, SHOP, OPERATOR = "cluster-uid", "shop", "safehold"
DRIVER = "csi.example"
SHAPE = ClaimShape(storage_class="fast", mode="Block", access_modes=("ReadWriteOnce",), size_bytes=2 * GIB)
TARGET = TargetFacts(
    kind="ClusterBackupTarget",
    name="primary",
    uid="target-uid",
    secrets_namespace=OPERATOR,
    place=RepositoryPlace(bucket="backups"),
    key=RepositoryKeyRef(name="key"),
    credentials=None,
    ca_bundle=None,
    sharing="Namespace",
    access_mode="ReadWrite",
    repository_id="repo-1",
)
READY = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "lastTransitionTime": NOW,
    "reason": "Succeeded",
    "message": "",
}


def backup(name: str = "orders-1", **status: Any) -> VMBackup:
    """A finished VMBackup of VM orders with the volumes root and data."""
    volumes = [
        {
            "name": volume,
            "mode": "Block",
            "claimName": f"orders-{volume}",
            "claimUID": f"{volume}-uid",
            "capacityBytes": 2 * GIB,
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"],
        }
        for volume in ("root", "data")
    ]
    return VMBackup.model_validate(
        {
            "metadata": {"name": name, "namespace": SHOP, "uid": f"{name}-uid", "generation": 1},
            "spec": {"vm": {"name": "orders"}, "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"}},
            "status": {
                "conditions": [READY],
                "restorePoint": f"point-of-{name}",
                "captureTime": NOW - timedelta(hours=1),
                "vmUID": "vm-uid",
                "namespaceUID": "shop-uid",
                "clusterID": CLUSTER,
                "target": {"kind": "ClusterBackupTarget", "name": "primary", "uid": "t", "repositoryID": "repo-1"},
                "volumes": volumes,
                **status,
            },
        }
    )


def point(**vm: str) -> RestorePoint:
    """The point of that VMBackup as a bucket tells it; `vm` changes whose it is."""
    told = point_of(backup())
    return told.model_copy(
        update={"id": POINT, "key_domain": "namespace/shop-uid", "vm": told.vm.model_copy(update=vm)}
    )


def restore(mode: str = "InPlace", **spec: Any) -> VMRestore:
    """A VMRestore of the VMBackup orders-1: in place, or as VM orders-copy."""
    target = {"mode": mode} if mode == "InPlace" else {"mode": mode, "name": "orders-copy"}
    return VMRestore.model_validate(
        {
            "metadata": {
                "name": "back",
                "namespace": SHOP,
                "uid": "restore-uid",
                "generation": 1,
                "creationTimestamp": NOW,
            },
            "spec": {"source": {"backup": "orders-1"}, "target": target, **spec},
        }
    )


def machine_objects() -> list[dict[str, Any]]:
    """What the worker recalls: VM orders with its two disks, and a Secret."""
    volumes: list[dict[str, Any]] = [
        {"name": name, "persistentVolumeClaim": {"claimName": f"orders-{name}"}} for name in ("root", "data")
    ]
    volumes.append({"name": "init", "cloudInitNoCloud": {"secretRef": {"name": "orders-init"}}})
    vm = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "orders", "namespace": SHOP},
        "spec": {"runStrategy": "Always", "template": {"spec": {"domain": {}, "volumes": volumes}}},
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "orders-init", "namespace": SHOP},
        "data": {"userdata": "I2Nsb3VkLWNvbmZpZw=="},
    }
    return [vm, secret]


def safety_snapshot(name: str, created: datetime) -> SnapshotFacts:
    """A VirtualMachineSnapshot that was just created."""
    return SnapshotFacts(
        name=name,
        uid="safety-uid",
        vm="orders",
        created=created,
        deleting=False,
        succeeded=False,
        ready=False,
        failure=None,
        error="",
        indications=(),
        capture=None,
    )


def captured_volumes() -> tuple[CapturedVolume, ...]:
    """What KubeVirt recorded of the volumes root and data in it."""
    return tuple(
        CapturedVolume(
            name=name,
            claim_name=f"orders-{name}",
            claim_uid=f"{name}-uid",
            snapshot_name=f"snapshot-{name}",
            claim=None,
            snapshot=None,
            content=None,
        )
        for name in ("root", "data")
    )


def snapshot_handle(volume: str) -> SnapshotHandle:
    """The volume's own snapshot in the safety snapshot."""
    return SnapshotHandle(
        volume=volume,
        volume_snapshot=f"snapshot-{volume}",
        volume_snapshot_uid="s",
        content=f"content-{volume}",
        content_uid="c",
        driver=DRIVER,
        snapshot_handle=f"handle-{volume}",
        original_deletion_policy="Delete",
        source_volume_mode="Block",
        restore_size_bytes=2 * GIB,
        pair_name=pair_name("restore-uid", volume),
        claim_name="unused",
    )
