"""The PV controller's decisions, as tables over objects."""

from typing import Any

import pytest

from sandbox.cluster.client import Object
from sandbox.csi.binding import Bind, ClaimStep, Lose, Provision, Wait, claim_step, volume_step
from sandbox.csi.names import BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, SELECTED_NODE

IMMEDIATE = {"provisioner": "driver", "volumeBindingMode": "Immediate"}
WAITING = {"provisioner": "driver", "volumeBindingMode": "WaitForFirstConsumer"}


def claim(uid: str = "c1", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """A claim a/data for 64Mi."""
    return {
        "metadata": {"namespace": "a", "name": "data", "uid": uid, "annotations": annotations or {}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "64Mi"}},
            "storageClassName": "sandbox",
            **spec,
        },
    }


def volume(
    name: str = "pv", ref: str | None = "a/data/c1", phase: str = "Available", policy: str = "Delete", **more: Any
) -> Object:
    """A volume of 64Mi whose claimRef is written namespace/name/uid."""
    spec: Object = {
        "capacity": {"storage": "64Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "sandbox",
        "persistentVolumeReclaimPolicy": policy,
        **more,
    }
    if ref is not None:
        namespace, claim_name, uid = ref.split("/")
        spec["claimRef"] = {"namespace": namespace, "name": claim_name} | ({"uid": uid} if uid else {})
    return {
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: "driver"}},
        "spec": spec,
        "status": {"phase": phase},
    }


def decide(obj: Object, volumes: list[Object], storage_class: Object | None = IMMEDIATE) -> ClaimStep:
    """The step for a claim among these volumes."""
    by_name = {item["metadata"]["name"]: item for item in volumes}
    return claim_step(obj, volumes, storage_class, by_name.get)


DONE = {BIND_COMPLETED: "yes"}


@pytest.mark.parametrize(
    ("obj", "volumes", "reason"),
    [
        (claim(annotations=DONE, volumeName="pv"), [], "ClaimLost"),
        (claim(annotations=DONE, volumeName=""), [], "ClaimLost"),
        (claim(annotations=DONE, volumeName="pv"), [volume(ref="b/other/c2")], "ClaimMisbound"),
        (claim(annotations=DONE, volumeName="pv"), [volume(ref="a/data/")], "ClaimMisbound"),
    ],
    ids=["volume gone", "volumeName gone", "claimRef moved", "claimRef without uid"],
)
def test_bound_claims_that_lose_their_volume(obj: Object, volumes: list[Object], reason: str) -> None:
    """A bound claim whose volume is gone or points elsewhere is Lost, and says which."""
    step = decide(obj, volumes)
    assert isinstance(step, Lose)
    assert step.notice.reason == reason


def test_a_lost_claim_comes_back() -> None:
    """Giving the claimRef back to the claim's uid binds it again."""
    assert isinstance(decide(claim(annotations=DONE, volumeName="pv"), [volume()]), Bind)


@pytest.mark.parametrize(
    ("more_claim", "more_volume"),
    [
        ({"resources": {"requests": {"storage": "128Mi"}}}, {}),
        ({"storageClassName": "other"}, {}),
        ({"storageClassName": ""}, {}),
        ({"volumeMode": "Block"}, {}),
        ({"accessModes": ["ReadWriteMany"]}, {}),
    ],
    ids=["larger", "other class", "no class", "other mode", "other access"],
)
def test_nothing_is_compared_by_uid(more_claim: Object, more_volume: Object) -> None:
    """A claim that names the volume, and whose uid is in claimRef, is bound whatever it asks for."""
    step = decide(claim(volumeName="pv", **more_claim), [volume(**more_volume)])
    assert isinstance(step, Bind)


def test_named_volume_of_another_claim() -> None:
    """A claim waits for a volume that it names while that is another claim's; it is never provisioned."""
    step = decide(claim(volumeName="pv"), [volume(ref="safehold/prime/p1")])
    assert isinstance(step, Wait)
    assert step.notice is not None
    assert (step.notice.reason, step.notice.event_type) == ("FailedBinding", "Warning")
    assert step.notice.message == 'volume "pv" already bound to a different claim.'


@pytest.mark.parametrize(
    ("obj", "volumes", "chosen"),
    [
        (claim(), [volume("theirs", ref="b/x/u"), volume("reserved", ref="a/data/")], "reserved"),
        (claim(), [volume("free", ref=None), volume("mine", ref="a/data/c1", phase="Bound")], "mine"),
        (claim(), [volume("big", ref=None, capacity={"storage": "1Gi"}), volume("fits", ref=None)], "fits"),
        (claim(dataSource={"kind": "VolumeSnapshot", "name": "s"}), [volume("cleared", ref=None)], "cleared"),
    ],
    ids=["reserved by name", "reserved before free", "smallest", "even with a data source"],
)
def test_unbound_claims_take_what_is_there(obj: Object, volumes: list[Object], chosen: str) -> None:
    """A claim without volumeName takes the volume reserved for it, else the smallest free one: also a cleared one."""
    step = decide(obj, volumes)
    assert isinstance(step, Bind)
    assert step.volume["metadata"]["name"] == chosen


@pytest.mark.parametrize(
    "unfit",
    [
        volume(ref=None, phase="Released"),
        volume(ref=None, storageClassName="other"),
        volume(ref=None, volumeMode="Block"),
        volume(ref=None, capacity={"storage": "32Mi"}),
        volume(ref=None, accessModes=["ReadOnlyMany"]),
        volume(ref="a/data/c0"),
    ],
    ids=["not available", "class", "mode", "size", "access", "former claim's"],
)
def test_unfit_volumes_are_left(unfit: Object) -> None:
    """A volume that does not fit, or belongs to a former claim of the name, is not taken: a new one is provisioned."""
    assert decide(claim(), [unfit]) == Provision("driver")


@pytest.mark.parametrize(
    ("obj", "storage_class", "expected"),
    [
        (claim(), WAITING, "WaitForFirstConsumer"),
        (claim(storageClassName=""), None, "FailedBinding"),
        (claim(storageClassName="nope"), None, "ProvisioningFailed"),
    ],
)
def test_claims_that_wait(obj: Object, storage_class: Object | None, expected: str) -> None:
    """A claim says what it waits for."""
    step = decide(obj, [], storage_class)
    assert isinstance(step, Wait)
    assert step.notice is not None
    assert step.notice.reason == expected


def test_first_consumer() -> None:
    """A waiting class takes no free volume before a node is chosen, provisions after; a reserved one at any time."""
    assert isinstance(decide(claim(), [volume(ref=None)], WAITING), Wait)
    assert decide(claim(annotations={SELECTED_NODE: "n"}), [], WAITING) == Provision("driver")
    assert isinstance(decide(claim(), [volume(ref="a/data/c1")], WAITING), Bind)


@pytest.mark.parametrize(
    ("obj", "owner", "step"),
    [
        (volume(ref=None), None, "available"),
        (volume(ref="a/data/"), claim(), "available"),
        (volume(), None, "released"),
        (volume(), claim(uid="later"), "released"),
        (volume(), claim(volumeName="pv"), "bound"),
        (volume(), claim(), "ask-claim"),
        (volume(volumeMode="Block"), claim(), "mismatch"),
        (volume(), claim(volumeName="other"), "released"),
        (volume(policy="Retain"), claim(volumeName="other"), "unbind"),
    ],
    ids=[
        "cleared",
        "reserved by name",
        "claim gone",
        "claim made anew",
        "bound",
        "populated",
        "wrong mode",
        "claim bound elsewhere, Delete",
        "claim bound elsewhere, Retain",
    ],
)
def test_volume_phases(obj: Object, owner: Object | None, step: str) -> None:
    """What becomes of a volume: with Delete, "released" means that its data goes."""
    assert volume_step(obj, owner) == step


def test_marks_are_not_needed_to_bind() -> None:
    """bound-by-controller on the volume changes nothing in the decision."""
    marked = volume()
    marked["metadata"]["annotations"][BOUND_BY_CONTROLLER] = "yes"
    assert volume_step(marked, claim(volumeName="pv")) == "bound"
