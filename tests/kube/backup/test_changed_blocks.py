"""Services of CSI drivers, kept bases, and what earlier backups say about verifications, on an API server."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.api import VMBackup
from safehold.kube.backup.changed_blocks import find_service, keep_base, list_bases, observe_changes
from safehold.kube.backup.leftovers import observe_leftovers, owners_of_leftovers
from safehold.kube.client import Cluster
from safehold.kube.kinds import (
    SNAPSHOT_METADATA_SERVICES,
    VM_BACKUP,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.plan.backup.steps import KeepBase
from safehold.plan.names import BASE_OF, POLICY_UID, VM_UID, owner_labels, vm_label
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS

CRDS = Path(__file__).parents[3] / "crds"
SERVICE = {"address": "metadata:50051", "audience": "for-example", "caCert": base64.b64encode(b"PEM").decode()}


@pytest.fixture
async def storage(cluster: Cluster, kube_server: Any) -> AsyncIterator[Cluster]:
    """The cluster with the kinds of CSI, and ours."""
    async with SandboxCluster.connect(kube_server.kubeconfig, "tests") as sandbox:
        await install_definitions(sandbox, DEFINITIONS)
        ours = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*_vmbackups.yaml"))]
        await install_definitions(sandbox, ours)
    yield cluster
    for found in await cluster.list(SNAPSHOT_METADATA_SERVICES[0]):
        await cluster.delete(SNAPSHOT_METADATA_SERVICES[0], found["metadata"]["name"])


async def service(cluster: Cluster, driver: str, **changes: str) -> None:
    """The driver's object."""
    manifest = {"metadata": {"name": driver}, "spec": {**SERVICE, **changes}}
    await cluster.create(SNAPSHOT_METADATA_SERVICES[0], manifest)


async def test_a_service_is_found_by_its_drivers_name(storage: Cluster) -> None:
    """Address, audience and authority come from the object; a driver without one has none."""
    await service(storage, "csi.example")
    found = await find_service(storage, "csi.example")
    assert found is not None
    assert (found.address, found.audience, found.authority) == ("metadata:50051", "for-example", "PEM")
    assert await find_service(storage, "csi.other") is None


async def test_a_cluster_without_the_kind_has_no_service(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither version is served, nobody can be asked, and that is no error."""
    unserved = tuple(type(kind)(kind.group, "v9", kind.plural, kind.kind, False) for kind in SNAPSHOT_METADATA_SERVICES)
    monkeypatch.setattr("safehold.kube.backup.changed_blocks.SNAPSHOT_METADATA_SERVICES", unserved)
    assert await find_service(cluster, "csi.example") is None


async def pair(cluster: Cluster, namespace: str, name: str, owner_uid: str) -> str:
    """A static content and snapshot of a run; the content's uid."""
    labels = owner_labels("VMBackup", owner_uid, name="b", namespace="shop", vm="db")
    content = {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "driver": "csi.example",
            "deletionPolicy": "Retain",
            "source": {"snapshotHandle": f"physical-{name}"},
            "volumeSnapshotRef": {"namespace": namespace, "name": name},
        },
    }
    snapshot = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"source": {"volumeSnapshotContentName": name}},
    }
    created = await cluster.create(VOLUME_SNAPSHOT_CONTENT, content)
    await cluster.create(VOLUME_SNAPSHOT, snapshot)
    return str(created["metadata"]["uid"])


async def test_a_base_is_no_leftover_of_its_run(storage: Cluster, namespace: str) -> None:
    """Once kept, a pair deletes its handle, is listed by its claim, and neither the run nor the sweep takes it away."""
    uid = await pair(storage, namespace, f"kept-{namespace}", "run")
    await pair(storage, namespace, f"going-{namespace}", "run")
    labels = {BASE_OF: "claim", VM_UID: "vm", POLICY_UID: "policy"}
    await keep_base(storage, KeepBase(content=f"kept-{namespace}", uid=uid, labels=labels))
    (base,) = await list_bases(storage, ["claim", "another"], operator_namespace=namespace)
    assert (base.name, base.claim_uid, base.vm_uid, base.policy_uid) == (f"kept-{namespace}", "claim", "vm", "policy")
    assert (base.handle, base.has_snapshot, base.deleting) == (f"physical-kept-{namespace}", True, False)
    assert await list_bases(storage, ["another"], operator_namespace=namespace) == ()
    content = await storage.read(VOLUME_SNAPSHOT_CONTENT, base.name)
    assert content["spec"]["deletionPolicy"] == "Delete"

    found = await observe_leftovers(storage, "run", operator_namespace=namespace, namespace=namespace)
    assert [content.name for content in found.pair_contents] == [f"going-{namespace}"]
    assert [snapshot.name for snapshot in found.pair_snapshots] == [f"going-{namespace}"]
    later = await observe_leftovers(
        storage, "later", operator_namespace=namespace, namespace=namespace, claim_uids=["claim"]
    )
    assert [old.name for old in later.old_bases] == [base.name]
    await storage.delete(VOLUME_SNAPSHOT, f"going-{namespace}", namespace)
    await storage.delete(VOLUME_SNAPSHOT_CONTENT, f"going-{namespace}")
    assert "run" not in await owners_of_leftovers(storage, operator_namespace=namespace)
    await storage.delete(VOLUME_SNAPSHOT, base.name, namespace)
    await storage.delete(VOLUME_SNAPSHOT_CONTENT, base.name)


async def completed(cluster: Cluster, namespace: str, name: str, time: str, **volume: Any) -> VMBackup:
    """A VMBackup of VM db that completed then, as the server keeps it."""
    spec = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "t"}}
    metadata = {"name": name, "namespace": namespace, "labels": vm_label("db")}
    await cluster.create(VM_BACKUP, {"metadata": metadata, "spec": spec})
    known = {"name": "data", "mode": "Block", "claimName": "c", "claimUID": "claim", "capacityBytes": 1}
    status = {"completionTime": time, "restorePoint": "p", "volumes": [{**known, **volume}]}
    manifest = {"metadata": {"name": name, "namespace": namespace}, "status": status}
    return VMBackup.model_validate(await cluster.apply(VM_BACKUP, manifest, subresource="status"))


async def test_the_vms_last_backup_says_what_was_verified(storage: Cluster, namespace: str) -> None:
    """The newest completed backup that knows decides, whatever order they are listed in."""
    await completed(
        storage, namespace, "b", "2026-11-20T00:00:00Z", verifiedTime="2026-11-19T00:00:00Z", distrusted=True
    )
    await completed(storage, namespace, "a", "2026-11-21T00:00:00Z", verifiedTime="2026-11-21T00:00:00Z")
    last = await completed(storage, namespace, "c", "2026-11-22T00:00:00Z")
    changes = await observe_changes(storage, last, operator_namespace=namespace)
    known = changes.verifications["claim"]
    assert known.verified is not None
    assert (known.verified.day, known.distrusted) == (21, False)
