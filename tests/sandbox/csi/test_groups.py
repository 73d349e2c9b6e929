"""Group snapshots, as the source of the snapshot controllers has them; what is written fits the real definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.definitions import install_definitions
from sandbox.cluster.kinds import (
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_GROUP_SNAPSHOT,
    VOLUME_GROUP_SNAPSHOT_CLASS,
    VOLUME_GROUP_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from sandbox.cluster.metadata import annotations_of, finalizers_of
from sandbox.csi.group_snapshotter import group_step
from sandbox.csi.names import (
    DRIVER,
    GROUP_BEING_CREATED,
    GROUP_BEING_DELETED,
    GROUP_BOUND_PROTECTION,
    GROUP_CONTENT_PROTECTION,
    SNAPSHOT_IN_GROUP_PROTECTION,
)

if TYPE_CHECKING:
    from tests.sandbox.csi.conftest import Storage

_REAL = Path(__file__).parents[3] / ".." / "shared" / "crds" / "csi"
_CLASS = "together"


async def class_of(storage: Storage, driver: str = DRIVER) -> None:
    """A class that deletes what it made."""
    manifest = {"metadata": {"name": _CLASS}, "driver": driver, "deletionPolicy": "Delete"}
    await storage.cluster.create(VOLUME_GROUP_SNAPSHOT_CLASS, manifest)


async def labelled(storage: Storage, *names: str) -> list[Object]:
    """Bound claims that carry the label; gives their volumes."""
    volumes = []
    for name in names:
        claim = await storage.claim(name)
        await storage.patch(
            PERSISTENT_VOLUME_CLAIM, claim["metadata"]["name"], {"metadata": {"labels": {"group": "g"}}}, "a"
        )
        volumes.append((await storage.bound(name))[1])
    return volumes


async def asked(storage: Storage, name: str = "g") -> None:
    """A group of what carries the label."""
    spec = {"volumeGroupSnapshotClassName": _CLASS, "source": {"selector": {"matchLabels": {"group": "g"}}}}
    await storage.cluster.create(VOLUME_GROUP_SNAPSHOT, {"metadata": {"name": name, "namespace": "a"}, "spec": spec})


async def ready(storage: Storage, name: str = "g") -> tuple[Object, Object]:
    """The group once it is ready, and its content."""
    group = await storage.until(VOLUME_GROUP_SNAPSHOT, name, "a", lambda obj: bool(obj["status"].get("readyToUse")))
    content = await storage.cluster.get(
        VOLUME_GROUP_SNAPSHOT_CONTENT, group["status"]["boundVolumeGroupSnapshotContentName"]
    )
    assert content is not None
    return group, content


async def members(storage: Storage, content: Object) -> list[tuple[Object, Object]]:
    """The members once they are ready, with their contents."""
    handles = {info["snapshotHandle"] for info in content["status"]["volumeSnapshotInfoList"]}
    made = await storage.cluster.list(VOLUME_SNAPSHOT_CONTENT)
    names = [
        item["spec"]["volumeSnapshotRef"]["name"]
        for item in made
        if (item.get("status") or {}).get("snapshotHandle") in handles
    ]
    return [await storage.ready(name, "a") for name in names]


async def cut(storage: Storage) -> tuple[Object, Object, list[tuple[Object, Object]]]:
    """A group of two volumes, its content and its members."""
    await class_of(storage)
    await labelled(storage, "root", "data")
    await asked(storage)
    group, content = await ready(storage)
    return group, content, await members(storage, content)


async def test_a_group_has_a_member_for_each_claim_that_it_selects(storage: Storage) -> None:
    """The content has the volumes that were labelled then; members belong to the group and to their contents."""
    await class_of(storage)
    await storage.claim("other")
    await storage.bound("other")
    volumes = await labelled(storage, "root", "data")
    await asked(storage)
    group, content = await ready(storage)
    handles = {volume["spec"]["csi"]["volumeHandle"] for volume in volumes}
    assert content["metadata"]["name"] == f"groupsnapcontent-{group['metadata']['uid']}"
    assert set(content["spec"]["source"]["volumeHandles"]) == handles
    found = await members(storage, content)
    assert {snapshot["spec"]["source"]["persistentVolumeClaimName"] for snapshot, _ in found} == {"root", "data"}
    for snapshot, made in found:
        (owner,) = snapshot["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], "controller" in owner) == (
            "VolumeGroupSnapshot",
            group["metadata"]["uid"],
            False,
        )
        assert snapshot["status"]["volumeGroupSnapshotName"] == "g"
        assert SNAPSHOT_IN_GROUP_PROTECTION in finalizers_of(snapshot)
        assert made["status"]["volumeGroupSnapshotHandle"] == content["status"]["volumeGroupSnapshotHandle"]
        assert made["spec"]["volumeSnapshotRef"]["uid"] == snapshot["metadata"]["uid"]
        assert made["spec"]["source"]["volumeHandle"] in handles
    assert len(storage.snapshots_on_disk()) == 2


async def test_deleting_a_group_takes_everything(storage: Storage) -> None:
    """Members, contents and data; a member that is deleted by itself waits for its group."""
    _, content, found = await cut(storage)
    first = found[0][0]["metadata"]["name"]
    await storage.cluster.delete(VOLUME_SNAPSHOT, first, "a")
    await storage.event("VolumeSnapshot", first, "SnapshotDeletePending")
    assert len(storage.snapshots_on_disk()) == 2
    await storage.cluster.delete(VOLUME_GROUP_SNAPSHOT, "g", "a")
    await storage.gone(VOLUME_GROUP_SNAPSHOT, "g", "a")
    await storage.gone(VOLUME_GROUP_SNAPSHOT_CONTENT, content["metadata"]["name"])
    for snapshot, made in found:
        await storage.gone(VOLUME_SNAPSHOT, snapshot["metadata"]["name"], "a")
        await storage.gone(VOLUME_SNAPSHOT_CONTENT, made["metadata"]["name"])
    assert storage.snapshots_on_disk() == set()


async def test_a_group_that_is_deleted_while_it_is_cut_goes_all_the_same(storage: Storage) -> None:
    """The driver may have cut it before it is told: the cut is finished, and deleted then."""
    await class_of(storage)
    await labelled(storage, "root", "data")
    await asked(storage)
    await storage.until(
        VOLUME_GROUP_SNAPSHOT, "g", "a", lambda obj: "boundVolumeGroupSnapshotContentName" in obj["status"]
    )
    await storage.cluster.delete(VOLUME_GROUP_SNAPSHOT, "g", "a")
    await storage.gone(VOLUME_GROUP_SNAPSHOT, "g", "a")
    assert storage.snapshots_on_disk() == set()
    assert await storage.cluster.list(VOLUME_GROUP_SNAPSHOT_CONTENT) == []


@pytest.mark.parametrize(
    ("marks", "deleting", "step"),
    [
        ((), False, "cut"),
        ((GROUP_BEING_CREATED,), False, "cut"),
        ((GROUP_BEING_CREATED, GROUP_BEING_DELETED), True, "cut"),
        ((GROUP_BEING_DELETED,), True, "delete"),
        ((), True, "none"),
    ],
)
def test_a_cut_that_has_begun_is_finished_before_its_content_goes(
    marks: tuple[str, ...], deleting: bool, step: str
) -> None:
    """By the annotations of the sidecar and of the controller."""
    metadata: Object = {"annotations": dict.fromkeys(marks, "yes"), "finalizers": [GROUP_CONTENT_PROTECTION]}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T14:00:00Z"
    spec = {"driver": DRIVER, "source": {"volumeHandles": ["a", "b"]}}
    assert group_step({"metadata": metadata, "spec": spec}) == step


@pytest.mark.parametrize(
    ("kind", "source", "reference"),
    [
        (VOLUME_SNAPSHOT_CONTENT, {"volumeHandle": "unknown"}, "volumeSnapshotRef"),
        (VOLUME_GROUP_SNAPSHOT_CONTENT, {"volumeHandles": ["unknown"]}, "volumeGroupSnapshotRef"),
    ],
)
async def test_a_content_whose_cut_the_driver_refused_can_be_deleted(
    storage: Storage, kind: Kind, source: Object, reference: str
) -> None:
    """The driver has answered, so nothing of it can come into being any more."""
    named = {"namespace": "a", "name": "gone", "uid": "uid-of-one-that-is-gone"}
    spec = {"driver": DRIVER, "deletionPolicy": "Delete", "source": source, reference: named}
    metadata = {"name": "refused", "annotations": {GROUP_BEING_DELETED: "yes"}}
    await storage.cluster.create(kind, {"metadata": metadata, "spec": spec})
    refused = await storage.until(kind, "refused", None, lambda obj: bool(obj["status"].get("error")))
    assert "does not exist in the volumes list" in refused["status"]["error"]["message"]
    await storage.cluster.delete(kind, "refused")
    await storage.gone(kind, "refused")


async def test_a_retained_content_keeps_the_data_of_a_group_that_is_deleted(storage: Storage) -> None:
    """Set back to Delete and deleted, it takes the data with it: a member's content alone takes nothing."""
    _, content, found = await cut(storage)
    name = content["metadata"]["name"]
    retain = {"spec": {"deletionPolicy": "Retain"}}
    await storage.patch(VOLUME_GROUP_SNAPSHOT_CONTENT, name, retain)
    for _, made in found[:1]:
        await storage.patch(VOLUME_SNAPSHOT_CONTENT, made["metadata"]["name"], retain)
    await storage.cluster.delete(VOLUME_GROUP_SNAPSHOT, "g", "a")
    await storage.gone(VOLUME_GROUP_SNAPSHOT, "g", "a")
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, found[1][1]["metadata"]["name"])
    kept = await storage.cluster.get(VOLUME_GROUP_SNAPSHOT_CONTENT, name)
    assert kept is not None
    assert annotations_of(kept)[GROUP_BEING_DELETED] == "yes"
    assert await storage.cluster.get(VOLUME_SNAPSHOT_CONTENT, found[0][1]["metadata"]["name"])
    assert len(storage.snapshots_on_disk()) == 2
    back = {"spec": {"deletionPolicy": "Delete"}}
    await storage.patch(VOLUME_SNAPSHOT_CONTENT, found[0][1]["metadata"]["name"], back)
    await storage.cluster.delete(VOLUME_SNAPSHOT_CONTENT, found[0][1]["metadata"]["name"])
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, found[0][1]["metadata"]["name"])
    assert len(storage.snapshots_on_disk()) == 2
    await storage.patch(VOLUME_GROUP_SNAPSHOT_CONTENT, name, back)
    await storage.cluster.delete(VOLUME_GROUP_SNAPSHOT_CONTENT, name)
    await storage.gone(VOLUME_GROUP_SNAPSHOT_CONTENT, name)
    assert storage.snapshots_on_disk() == set()


async def test_a_member_is_restored_through_a_static_pair(storage: Storage) -> None:
    """In another namespace, by its handle, as any snapshot; it has no class."""
    await class_of(storage)
    volumes = await labelled(storage, "root", "data")
    storage.path(volumes[0]).write_bytes(b"payload")
    await asked(storage)
    _, content = await ready(storage)
    wanted = volumes[0]["spec"]["csi"]["volumeHandle"]
    _, made = next(
        pair for pair in await members(storage, content) if pair[1]["spec"]["source"]["volumeHandle"] == wanted
    )
    assert "volumeSnapshotClassName" not in made["spec"]
    await storage.static_pair("p", made["status"]["snapshotHandle"])
    await storage.ready("p", "b")
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "p"}
    await storage.claim("r", "b", dataSource=source)
    _, restored = await storage.bound("r", "b")
    assert storage.path(restored).read_bytes().startswith(b"payload")


@pytest.mark.parametrize(
    ("driver", "claims", "said"),
    [(DRIVER, [], "not applied to any PVC"), ("another.driver", ["root"], "mismatch")],
)
async def test_a_group_that_cannot_be_made_says_why(
    storage: Storage, driver: str, claims: list[str], said: str
) -> None:
    """In its status, and it is tried again."""
    await class_of(storage, driver)
    await labelled(storage, *claims)
    await asked(storage)
    group = await storage.until(VOLUME_GROUP_SNAPSHOT, "g", "a", lambda obj: bool(obj["status"].get("error")))
    assert said in group["status"]["error"]["message"]
    assert group["status"]["readyToUse"] is False


@pytest.mark.skipif(not _REAL.is_dir(), reason="the real definitions (../shared/crds) are not on this machine")
async def test_what_is_written_fits_the_real_definitions(storage: Storage, tmp_path: Path) -> None:
    """Every object of a group, with its status, is accepted by the real schemas, and nothing of it is pruned."""
    group, content, found = await cut(storage)
    protected = lambda obj: finalizers_of(obj) == [GROUP_BOUND_PROTECTION]  # noqa: E731
    await storage.until(VOLUME_GROUP_SNAPSHOT, "g", "a", protected)
    held = lambda obj: finalizers_of(obj) == [GROUP_CONTENT_PROTECTION]  # noqa: E731
    await storage.until(VOLUME_GROUP_SNAPSHOT_CONTENT, content["metadata"]["name"], None, held)
    objects = [(VOLUME_GROUP_SNAPSHOT, group), (VOLUME_GROUP_SNAPSHOT_CONTENT, content)]
    objects += [(VOLUME_SNAPSHOT, snapshot) for snapshot, _ in found]
    objects += [(VOLUME_SNAPSHOT_CONTENT, made) for _, made in found]
    files = [*_REAL.glob("groupsnapshot.*.yaml"), *_REAL.glob("snapshot.*.yaml")]
    definitions = [yaml.safe_load(file.read_text()) for file in files]
    with running_api_server(tmp_path / "real") as server:
        async with Cluster.connect(server.kubeconfig, "tests") as real:
            await install_definitions(real, [{**item, "status": {}} for item in definitions])
            await real.create(NAMESPACE, {"metadata": {"name": "a"}})
            for kind, wanted in objects:
                assert await accepted(real, kind, wanted) == {"spec": wanted["spec"], "status": wanted["status"]}


async def accepted(real: Cluster, kind: Kind, wanted: Object) -> Object:
    """Spec and status as the real definitions keep them."""
    metadata = {key: wanted["metadata"][key] for key in ("name", "namespace") if key in wanted["metadata"]}
    made = await real.create(kind, {"metadata": metadata, "spec": wanted["spec"]})
    stored = await real.update_status(kind, {**made, "status": wanted["status"]})
    return {"spec": stored["spec"], "status": stored["status"]}
