"""Volumes that change hands: claimRef, resync, loss and theft, as the real PV controller was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from sandbox.cluster.metadata import annotations_of, finalizers_of
from sandbox.csi.binding import claim_reference
from sandbox.csi.names import BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONER_FINALIZER, PV_PROTECTION, SELECTED_NODE

if TYPE_CHECKING:
    from tests.sandbox.csi.conftest import Storage


async def retain(storage: Storage, volume: str, policy: str = "Retain") -> None:
    """Patches the volume's reclaim policy."""
    await storage.patch(PERSISTENT_VOLUME, volume, {"spec": {"persistentVolumeReclaimPolicy": policy}})


async def point_at(storage: Storage, volume: str, claim: Object) -> None:
    """Replaces the volume's claimRef whole."""
    patch = [{"op": "replace", "path": "/spec/claimRef", "value": claim_reference(claim)}]
    await storage.cluster.patch(PERSISTENT_VOLUME, volume, patch, patch_type="json")


async def poke(storage: Storage, claim: str, namespace: str) -> None:
    """Writes an annotation, so that the claim is looked at."""
    await storage.patch(PERSISTENT_VOLUME_CLAIM, claim, {"metadata": {"annotations": {"poked": "yes"}}}, namespace)


async def test_a_provisioned_volume(storage: Storage) -> None:
    """A new volume has the recorded annotations and finalizers; its claim says who bound it."""
    await storage.claim("data")
    claim, volume = await storage.bound("data")
    assert volume["metadata"]["name"] == f"pvc-{claim['metadata']['uid']}"
    assert set(finalizers_of(volume)) == {PROVISIONER_FINALIZER, PV_PROTECTION}
    assert BOUND_BY_CONTROLLER not in annotations_of(volume)
    assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    marks = annotations_of(claim)
    assert marks[BIND_COMPLETED] == marks[BOUND_BY_CONTROLLER] == "yes"
    assert claim["status"]["capacity"] == {"storage": "1Mi"}


@pytest.mark.parametrize("poked", [True, False], ids=["poked", "by resync"])
async def test_handing_over(storage: Storage, *, poked: bool) -> None:
    """A claim that names the volume gets it once claimRef is its own; the former claim is Lost and goes harmlessly."""
    await storage.claim("prime", "b")
    _, volume = await storage.bound("prime", "b")
    name = volume["metadata"]["name"]
    storage.path(volume).write_bytes(b"payload")
    await retain(storage, name)
    unprotected = lambda obj: PROVISIONER_FINALIZER not in finalizers_of(obj)  # noqa: E731
    await storage.until(PERSISTENT_VOLUME, name, None, unprotected)
    data = await storage.claim("data", volumeName=name)
    complaint = await storage.event("PersistentVolumeClaim", "data", "FailedBinding")
    assert complaint == f'volume "{name}" already bound to a different claim.'
    await point_at(storage, name, data)
    if poked:
        await poke(storage, "data", "a")
    claim, _ = await storage.bound("data")
    assert set(annotations_of(claim)) - {"poked"} == {BIND_COMPLETED}
    await storage.phase(PERSISTENT_VOLUME_CLAIM, "prime", "Lost", "b")
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "prime", "b")
    await storage.gone(PERSISTENT_VOLUME_CLAIM, "prime", "b")
    await retain(storage, name, "Delete")
    protected = lambda obj: PROVISIONER_FINALIZER in finalizers_of(obj)  # noqa: E731
    kept = await storage.until(PERSISTENT_VOLUME, name, None, protected)
    assert kept["status"]["phase"] == "Bound"
    assert storage.path(kept).read_bytes().startswith(b"payload")
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "data", "a")
    await storage.gone(PERSISTENT_VOLUME, name)
    assert not storage.path(kept).exists()


async def test_a_claim_deleted_too_early_takes_the_data(storage: Storage) -> None:
    """With policy Delete, the end of the claim is the end of the volume and its data."""
    await storage.claim("prime", "b")
    _, volume = await storage.bound("prime", "b")
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "prime", "b")
    await storage.gone(PERSISTENT_VOLUME, volume["metadata"]["name"])
    assert not storage.path(volume).exists()


async def test_released_volumes_wait_for_a_hand(storage: Storage) -> None:
    """With Retain the volume is Released, keeps the old uid, refuses a new claim of the name, and binds by claimRef."""
    await storage.claim("data")
    _, volume = await storage.bound("data")
    name = volume["metadata"]["name"]
    await retain(storage, name)
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "data", "a")
    await storage.gone(PERSISTENT_VOLUME_CLAIM, "data", "a")
    released = await storage.phase(PERSISTENT_VOLUME, name, "Released")
    assert released["spec"]["claimRef"]["uid"] == volume["spec"]["claimRef"]["uid"]
    anew = await storage.claim("data", volumeName=name)
    await storage.event("PersistentVolumeClaim", "data", "FailedBinding")
    await point_at(storage, name, anew)
    await poke(storage, "data", "a")
    await storage.bound("data")
    await storage.phase(PERSISTENT_VOLUME, name, "Bound")


async def test_a_cleared_claim_reference_is_stolen(storage: Storage) -> None:
    """A volume without claimRef goes to the next pending claim of its class, wherever that is."""
    await storage.claim("data")
    _, volume = await storage.bound("data")
    name = volume["metadata"]["name"]
    await retain(storage, name)
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "data", "a")
    await storage.phase(PERSISTENT_VOLUME, name, "Released")
    await storage.cluster.patch(
        PERSISTENT_VOLUME, name, [{"op": "remove", "path": "/spec/claimRef"}], patch_type="json"
    )
    await storage.phase(PERSISTENT_VOLUME, name, "Available")
    await storage.claim("thief", "b")
    _, stolen = await storage.bound("thief", "b")
    assert stolen["metadata"]["name"] == name


async def test_a_target_bound_elsewhere_loses_the_volume(storage: Storage) -> None:
    """With claimRef at the uid of a claim that has another volume, and policy Delete, the data goes."""
    await storage.claim("prime", "b")
    _, volume = await storage.bound("prime", "b")
    other = await storage.claim("data")
    await storage.bound("data")
    await point_at(storage, volume["metadata"]["name"], other)
    await storage.gone(PERSISTENT_VOLUME, volume["metadata"]["name"])
    assert not storage.path(volume).exists()


async def test_first_consumer(storage: Storage) -> None:
    """A waiting class says so, provisions with a chosen node, and binds a reserved volume without one."""
    await storage.claim("data", storageClassName="sandbox-wait")
    message = await storage.event("PersistentVolumeClaim", "data", "WaitForFirstConsumer")
    assert message == "waiting for first consumer to be created before binding"
    chosen = {"metadata": {"annotations": {SELECTED_NODE: "any"}}}
    await storage.patch(PERSISTENT_VOLUME_CLAIM, "data", chosen, "a")
    _, volume = await storage.bound("data")
    name = volume["metadata"]["name"]
    await retain(storage, name)
    target = await storage.claim("target", "b", storageClassName="sandbox-wait", volumeName=name)
    await point_at(storage, name, target)
    await poke(storage, "target", "b")
    await storage.bound("target", "b")


async def test_populators(storage: Storage) -> None:
    """A data source of a foreign kind is left to whoever knows it, who binds by claimRef without a poke."""
    source = {"apiGroup": "safehold.example", "kind": "RestorePoint", "name": "p"}
    target = await storage.claim("data", dataSourceRef=source)
    message = await storage.event("PersistentVolumeClaim", "data", "Provisioning")
    assert message == "Assuming an external populator will provision the volume"
    await storage.claim("prime", "b")
    _, volume = await storage.bound("prime", "b")
    await point_at(storage, volume["metadata"]["name"], target)
    claim, bound = await storage.bound("data", seconds=5)
    assert bound["metadata"]["name"] == volume["metadata"]["name"]
    assert annotations_of(claim)[BOUND_BY_CONTROLLER] == "yes"


async def test_claims_in_use_stay(storage: Storage) -> None:
    """A claim that a pod names stays until the pod object is gone, also when the pod has ended."""
    await storage.claim("data")
    await storage.bound("data")
    spec = {
        "nodeName": "elsewhere",
        "containers": [{"name": "c", "image": "none"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    pod = await storage.cluster.create(POD, {"metadata": {"name": "p", "namespace": "a"}, "spec": spec})
    await storage.cluster.update_status(POD, {**pod, "status": {**pod["status"], "phase": "Succeeded"}})
    await storage.cluster.delete(PERSISTENT_VOLUME_CLAIM, "data", "a")
    held = await storage.cluster.get(PERSISTENT_VOLUME_CLAIM, "data", "a")
    assert held is not None
    assert held["metadata"]["deletionTimestamp"]
    await storage.cluster.delete(POD, "p", "a", grace_seconds=0)
    await storage.gone(PERSISTENT_VOLUME_CLAIM, "data", "a")


async def test_clones_and_growth(storage: Storage) -> None:
    """A claim can copy another one of its namespace, and grow."""
    await storage.claim("data")
    _, volume = await storage.bound("data")
    storage.path(volume).write_bytes(b"payload")
    await storage.claim("copy", dataSource={"kind": "PersistentVolumeClaim", "name": "data"})
    _, copy = await storage.bound("copy")
    assert storage.path(copy).read_bytes().startswith(b"payload")
    larger = {"spec": {"resources": {"requests": {"storage": "3Mi"}}}}
    await storage.patch(PERSISTENT_VOLUME_CLAIM, "copy", larger, "a")
    grown = lambda obj: obj["status"]["capacity"]["storage"] == "3Mi"  # noqa: E731
    await storage.until(PERSISTENT_VOLUME_CLAIM, "copy", "a", grown)
    assert storage.path(copy).stat().st_size == 3 << 20


async def test_a_claim_without_a_class_gets_the_default(storage: Storage) -> None:
    """Leaving the class out means the default class."""
    await storage.claim("data", storageClassName=None)
    claim, _ = await storage.bound("data")
    assert claim["spec"]["storageClassName"] == "sandbox"
