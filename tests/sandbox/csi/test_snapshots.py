"""Snapshots, static pairs and what holds them, as the real snapshot controllers were recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.cluster.errors import InvalidError
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from sandbox.cluster.metadata import annotations_of, finalizers_of
from sandbox.csi.names import (
    ALLOW_MODE_CHANGE,
    CLAIM_SOURCE_PROTECTION,
    CONTENT_BOUND_PROTECTION,
    SNAPSHOT_BEING_DELETED,
    SNAPSHOT_BOUND_PROTECTION,
    SNAPSHOT_SOURCE_PROTECTION,
)

if TYPE_CHECKING:
    from tests.sandbox.csi.conftest import Storage


async def test_dynamic_snapshot(storage: Storage) -> None:
    """A cut names its content by uid, copies size and mode of the source, and lets go of the claim when it is ready."""
    await storage.claim("root")
    _, volume = await storage.bound("root")
    storage.path(volume).write_bytes(b"at the cut")
    snapshot, content = await storage.snapshot("s", "root")
    assert content["metadata"]["name"] == f"snapcontent-{snapshot['metadata']['uid']}"
    held = lambda obj: finalizers_of(obj) == [CONTENT_BOUND_PROTECTION]  # noqa: E731
    await storage.until(VOLUME_SNAPSHOT_CONTENT, content["metadata"]["name"], None, held)
    assert content["spec"]["sourceVolumeMode"] == "Block"
    assert content["spec"]["source"] == {"volumeHandle": volume["spec"]["csi"]["volumeHandle"]}
    assert content["status"]["restoreSize"] == 1 << 20
    assert snapshot["status"]["restoreSize"] == "1Mi"
    assert snapshot["spec"]["volumeSnapshotClassName"] == "sandbox"
    protections = [SNAPSHOT_SOURCE_PROTECTION, SNAPSHOT_BOUND_PROTECTION]
    await storage.until(VOLUME_SNAPSHOT, "s", "a", lambda obj: finalizers_of(obj) == protections)
    freed = lambda obj: CLAIM_SOURCE_PROTECTION not in finalizers_of(obj)  # noqa: E731
    await storage.until(PERSISTENT_VOLUME_CLAIM, "root", "a", freed)
    assert await storage.event("VolumeSnapshot", "s", "SnapshotReady") == "Snapshot a/s is ready to use."


async def test_deleting_a_dynamic_snapshot_takes_content_and_data(storage: Storage) -> None:
    """With policy Delete, the snapshot's end is the end of its content and of the data on the disk."""
    await storage.claim("root")
    await storage.bound("root")
    _, content = await storage.snapshot("s", "root")
    assert storage.snapshots_on_disk() == {content["status"]["snapshotHandle"]}
    await storage.cluster.delete(VOLUME_SNAPSHOT, "s", "a")
    await storage.gone(VOLUME_SNAPSHOT, "s", "a")
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, content["metadata"]["name"])
    assert storage.snapshots_on_disk() == set()


async def test_retain_keeps_content_and_data(storage: Storage) -> None:
    """With Retain patched onto the content, the snapshot's end leaves both; back to Delete, deleting ends the data."""
    await storage.claim("root")
    await storage.bound("root")
    _, content = await storage.snapshot("s", "root")
    name = content["metadata"]["name"]
    await storage.patch(VOLUME_SNAPSHOT_CONTENT, name, {"spec": {"deletionPolicy": "Retain"}})
    await storage.cluster.delete(VOLUME_SNAPSHOT, "s", "a")
    await storage.gone(VOLUME_SNAPSHOT, "s", "a")
    kept = await storage.cluster.get(VOLUME_SNAPSHOT_CONTENT, name)
    assert kept is not None
    assert annotations_of(kept)[SNAPSHOT_BEING_DELETED] == "yes"
    assert "deletionTimestamp" not in kept["metadata"]
    assert storage.snapshots_on_disk() == {content["status"]["snapshotHandle"]}
    await storage.patch(VOLUME_SNAPSHOT_CONTENT, name, {"spec": {"deletionPolicy": "Delete"}})
    await storage.cluster.delete(VOLUME_SNAPSHOT_CONTENT, name)
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, name)
    assert storage.snapshots_on_disk() == set()


async def test_static_pair(storage: Storage) -> None:
    """A pair for a known handle gets ready in another namespace, is restored from, and Retain keeps the data."""
    await storage.claim("root")
    _, volume = await storage.bound("root")
    storage.path(volume).write_bytes(b"payload")
    _, original = await storage.snapshot("s", "root")
    await storage.static_pair("p", original["status"]["snapshotHandle"])
    snapshot, content = await storage.ready("p", "b")
    assert content["spec"]["volumeSnapshotRef"]["uid"] == snapshot["metadata"]["uid"]
    assert "sourceVolumeMode" not in content["spec"]
    assert finalizers_of(snapshot) == [SNAPSHOT_SOURCE_PROTECTION]
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "p"}
    await storage.claim("r", "b", dataSource=source)
    _, restored = await storage.bound("r", "b")
    assert storage.path(restored).read_bytes().startswith(b"payload")
    await storage.cluster.delete(VOLUME_SNAPSHOT, "p", "b")
    await storage.gone(VOLUME_SNAPSHOT, "p", "b")
    await storage.cluster.delete(VOLUME_SNAPSHOT_CONTENT, "p")
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, "p")
    assert original["status"]["snapshotHandle"] in storage.snapshots_on_disk()


async def test_content_deleted_before_its_snapshot(storage: Storage) -> None:
    """The content waits for its snapshot, which stays ready meanwhile; then both go."""
    await storage.claim("root")
    await storage.bound("root")
    _, original = await storage.snapshot("s", "root")
    await storage.static_pair("p", original["status"]["snapshotHandle"])
    await storage.ready("p", "b")
    protected = lambda obj: finalizers_of(obj) == [CONTENT_BOUND_PROTECTION]  # noqa: E731
    await storage.until(VOLUME_SNAPSHOT_CONTENT, "p", None, protected)
    await storage.cluster.delete(VOLUME_SNAPSHOT_CONTENT, "p")
    deleting = await storage.cluster.get(VOLUME_SNAPSHOT_CONTENT, "p")
    assert deleting is not None
    assert deleting["metadata"]["deletionTimestamp"]
    await storage.ready("p", "b")
    await storage.cluster.delete(VOLUME_SNAPSHOT, "p", "b")
    await storage.gone(VOLUME_SNAPSHOT, "p", "b")
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, "p")


async def test_snapshot_before_its_content(storage: Storage) -> None:
    """A snapshot whose content is missing says so, and heals when the content appears."""
    source = {"source": {"volumeSnapshotContentName": "p"}}
    await storage.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": "p", "namespace": "b"}, "spec": source})
    complaint = "VolumeSnapshotContent is missing"
    told = lambda obj: (obj["status"].get("error") or {}).get("message") == complaint  # noqa: E731
    await storage.until(VOLUME_SNAPSHOT, "p", "b", told)
    await storage.claim("root")
    await storage.bound("root")
    _, original = await storage.snapshot("s", "root")
    await storage.cluster.delete(VOLUME_SNAPSHOT, "p", "b")
    await storage.gone(VOLUME_SNAPSHOT, "p", "b")
    await storage.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": "p", "namespace": "b"}, "spec": source})
    spec = {
        "deletionPolicy": "Retain",
        "driver": original["spec"]["driver"],
        "source": {"snapshotHandle": original["status"]["snapshotHandle"]},
        "volumeSnapshotRef": {"namespace": "b", "name": "p"},
    }
    await storage.cluster.create(VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": "p"}, "spec": spec})
    healed, _ = await storage.ready("p", "b")
    assert "error" not in healed["status"]


async def test_unknown_handle(storage: Storage) -> None:
    """A pair for a handle that the driver does not know never gets ready, and a claim from it waits."""
    await storage.static_pair("e", "no-such-handle")
    message = (
        "Failed to check and update snapshot content: failed to list snapshot for content e: "
        '"can not find snapshot for snapshotID no-such-handle"'
    )
    told = lambda obj: (obj["status"].get("error") or {}).get("message") == message  # noqa: E731
    snapshot = await storage.until(VOLUME_SNAPSHOT, "e", "b", told)
    assert snapshot["status"]["readyToUse"] is False
    assert snapshot["status"]["boundVolumeSnapshotContentName"] == "e"
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "e"}
    await storage.claim("r", "b", dataSource=source)
    assert "snapshot e is not Ready" in await storage.event("PersistentVolumeClaim", "r", "ProvisioningFailed", "b")


async def test_a_bound_content_cannot_be_taken(storage: Storage) -> None:
    """A second snapshot that names a bound content is told so and gets no finalizer."""
    await storage.claim("root")
    await storage.bound("root")
    _, content = await storage.snapshot("s", "root")
    name = content["metadata"]["name"]
    await storage.static_pair("p", content["status"]["snapshotHandle"])
    await storage.ready("p", "b")
    spec = {"source": {"volumeSnapshotContentName": "p"}}
    await storage.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": "thief", "namespace": "a"}, "spec": spec})
    message = await storage.event("VolumeSnapshot", "thief", "SnapshotContentMisbound")
    assert message == "VolumeSnapshotContent [p] is bound to a different snapshot"
    thief = await storage.cluster.get(VOLUME_SNAPSHOT, "thief", "a")
    assert thief is not None
    assert finalizers_of(thief) == []
    with pytest.raises(InvalidError):
        await storage.patch(VOLUME_SNAPSHOT_CONTENT, name, {"spec": {"source": {"volumeHandle": "other"}}})


async def test_hollow_pair(storage: Storage) -> None:
    """When the data goes with the original, the pair still says ready, and a new claim from it fails for good."""
    await storage.claim("root")
    await storage.bound("root")
    _, original = await storage.snapshot("s", "root")
    await storage.static_pair("p", original["status"]["snapshotHandle"])
    await storage.ready("p", "b")
    await storage.cluster.delete(VOLUME_SNAPSHOT, "s", "a")
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, original["metadata"]["name"])
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "p"}
    await storage.claim("r", "b", dataSource=source)
    message = await storage.event("PersistentVolumeClaim", "r", "ProvisioningFailed", "b")
    assert "code = NotFound desc = snapshot id" in message
    await storage.ready("p", "b")


async def test_deleting_while_a_restore_waits(storage: Storage) -> None:
    """A snapshot that a pending claim wants stays, that claim is refused: until the claim is deleted."""
    await storage.claim("root")
    await storage.bound("root")
    await storage.snapshot("s", "root")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    await storage.claim("r", dataSource=source, storageClassName="sandbox-wait")
    await storage.cluster.delete(VOLUME_SNAPSHOT, "s", "a")
    message = await storage.event("VolumeSnapshot", "s", "SnapshotDeletePending")
    assert message == "Snapshot is being used to restore a PVC"
    await storage.patch(
        PERSISTENT_VOLUME_CLAIM, "r", {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}}, "a"
    )
    refused = await storage.event("PersistentVolumeClaim", "r", "ProvisioningFailed")
    assert refused.endswith("snapshot s is being deleted")
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "r", "a")
    await storage.gone(VOLUME_SNAPSHOT, "s", "a")


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"resources": {"requests": {"storage": "512Ki"}}},
            "requested volume size 524288 is less than the size 1048576",
        ),
        ({"volumeMode": "Filesystem"}, f"{ALLOW_MODE_CHANGE} annotation is not present on snapshotcontent"),
        ({"storageClassName": "sandbox-plain"}, "is of driver"),
    ],
    ids=["too small", "other mode", "other driver"],
)
async def test_refused_restores(storage: Storage, spec: dict[str, Any], complaint: str) -> None:
    """A claim that does not fit the snapshot stays Pending and is told why."""
    await storage.claim("root")
    await storage.bound("root")
    await storage.snapshot("s", "root")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    await storage.claim("r", dataSource=source, **spec)
    assert complaint in await storage.event("PersistentVolumeClaim", "r", "ProvisioningFailed")


async def test_a_driver_that_cannot_snapshot(storage: Storage) -> None:
    """A claim of a class without a snapshot class is not cut, and the snapshot says so."""
    await storage.claim("root", storageClassName="sandbox-plain")
    await storage.bound("root")
    spec = {"source": {"persistentVolumeClaimName": "root"}}
    await storage.cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": "s", "namespace": "a"}, "spec": spec})
    message = await storage.event("VolumeSnapshot", "s", "SnapshotContentCreationFailed")
    assert "0 default snapshot classes found for driver plain.sandbox.safehold.dev" in message


def write_disk(folder: Path, data: bytes) -> None:
    """Replaces the disk image in a volume."""
    (folder / "disk.img").write_bytes(data)


async def test_filesystem_volumes(storage: Storage) -> None:
    """A volume with a file system is a folder, and its snapshot holds what is in it."""
    await storage.claim("root", volumeMode="Filesystem")
    _, volume = await storage.bound("root")
    write_disk(storage.path(volume), b"disk")
    await storage.snapshot("s", "root")
    write_disk(storage.path(volume), b"later")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    await storage.claim("r", volumeMode="Filesystem", dataSource=source)
    _, restored = await storage.bound("r")
    assert (storage.path(restored) / "disk.img").read_bytes() == b"disk"
