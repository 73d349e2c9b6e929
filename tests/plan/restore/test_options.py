"""Chosen volumes, claims without a VM, mapped StorageClasses: what they change in a restore, and what they refuse."""

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.restore.objects import CLUSTER, OPERATOR, SHAPE, SHOP, TARGET, backup, restore
from tests.plan.restore.world import World

from safehold.api import VMRestore
from safehold.plan.conditions import is_true
from safehold.plan.names import UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import admit
from safehold.plan.restore.facts import ObservedRestore
from safehold.plan.restore.point.description import point_of
from safehold.plan.storage import Claim, ClaimRef
from safehold.plan.tenancy import NamespaceFacts
from safehold.reasons import Reason

OWN = NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={})
TAKEN = Claim(ref=ClaimRef(SHOP, "orders-copy-data", "u"), shape=SHAPE, phase="Bound", volume="pv")


def seen(**changes: Any) -> ObservedRestore:
    """A cluster without the VM, with the StorageClass fast."""
    given: dict[str, Any] = {"storage_classes": frozenset({"fast"}), "target": TARGET, **changes}
    return ObservedRestore(cluster_id=CLUSTER, operator_namespace=OPERATOR, namespace=OWN, **given)


def message_of(ended: VMRestore) -> str:
    """What the Ready condition says."""
    return next(found.message for found in ended.status.conditions if found.type == "Ready")


def test_one_disk_of_two_in_place() -> None:
    """The other disk keeps its claim and volume, and the condition says that the two are of different moments."""
    world = World.with_running_vm(restore(volumes=["data"]))
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert [world.content_of(f"orders-{name}") for name in ("root", "data")] == ["old", "restored"]
    assert world.claims[SHOP, "orders-root"].ref.uid == "root-uid"
    assert world.volumes["old-root"].reclaim_policy == "Delete"
    assert UNDO_OF not in world.volumes["old-root"].labels
    assert "volume root was left as it is: the disks are of different moments" in message_of(ended)
    assert world.vm is not None
    assert world.vm.run_strategy == "Always"
    assert not world.leftovers()


def test_all_disks_by_name_are_no_part() -> None:
    """Who names every disk is not warned."""
    ended = World.with_running_vm(restore(volumes=["root", "data"])).run()
    assert "different moments" not in message_of(ended)


def test_a_new_vm_comes_without_the_disks_that_were_not_asked_for() -> None:
    """Only the chosen disk is filled; the VM has no device for the other, and the condition says so."""
    world = World(restore("NewVM", volumes=["root"]))
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert [record.name for record in ended.status.volumes] == ["root"]
    assert "without volume data" in message_of(ended)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (restore("NewVM"), "without volume data, which the backup had left out"),
        (restore(), "volume data was left as it is"),
    ],
)
def test_a_restore_says_which_disks_its_point_lacks(wanted: VMRestore, words: str) -> None:
    """A disk that the backup left out on purpose stops nothing: in place it stays as it is, a new VM has none."""
    whole = backup()
    excluded = [{"name": "data", "reason": "spec.volumes.exclude names it"}]
    volumes = [volume.to_wire() for volume in whole.status.volumes if volume.name == "root"]
    world = World(wanted) if wanted.spec.target.mode == "NewVM" else World.with_running_vm(wanted)
    world.backups = [backup(volumes=volumes, excludedVolumes=excluded)]
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready"), message_of(ended)
    assert [record.name for record in ended.status.volumes] == ["root"]
    assert words in message_of(ended)


def test_volumes_only_are_claims_of_plain_names_and_no_vm() -> None:
    """The claims are called NAME-VOLUME and have the wanted labels; nothing else is created, the VM is not touched."""
    world = World.with_running_vm(restore("VolumesOnly", labels={"audit": "yes"}))
    before = world.vm
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert [world.content_of(f"orders-copy-{name}") for name in ("root", "data")] == ["restored", "restored"]
    assert [world.content_of(f"orders-{name}") for name in ("root", "data")] == ["old", "old"]
    assert world.claims[SHOP, "orders-copy-data"].labels["audit"] == "yes"
    assert world.vm == before
    assert not world.objects
    assert ended.status.vm is None
    assert "claims orders-copy-root, orders-copy-data are restored" in message_of(ended)
    assert not world.leftovers()


@pytest.mark.parametrize("looks", range(0, 40, 3))
def test_volumes_only_are_taken_back_when_the_restore_is_deleted(looks: int) -> None:
    """Deleted anywhere on its way, it leaves no claim; at its end the claims stay."""
    world = World(restore("VolumesOnly"))
    for _ in range(looks):
        world.step()
    done = is_true(world.restore.status.conditions, "Ready")
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": world.now})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    assert bool(world.claims) is done
    assert not world.leftovers()


MAPPED = {"mappings": {"storageClasses": [{"from": "fast", "to": "slow"}]}}


@pytest.mark.parametrize(
    ("wanted", "observed", "reason", "words"),
    [
        (
            restore(volumes=["root", "logs"]),
            seen(),
            Reason.VOLUME_MISMATCH,
            "holds no volume logs; it holds data, root",
        ),
        (restore("VolumesOnly", volumes=["logs"]), seen(), Reason.VOLUME_MISMATCH, "correct spec.volumes"),
        (
            restore("VolumesOnly"),
            seen(live_claims={"orders-copy-data": TAKEN}),
            Reason.CLAIM_CONFLICT,
            "claim shop/orders-copy-data exists",
        ),
        (
            restore("VolumesOnly", target={"mode": "VolumesOnly", "name": "x" * 250}),
            seen(),
            Reason.INVALID_SPEC,
            "shorten spec.target.name",
        ),
        (restore("NewVM", **MAPPED), seen(), Reason.VOLUME_MISMATCH, "StorageClass slow of volume root"),
        (
            restore("NewVM"),
            seen(storage_classes=frozenset()),
            Reason.VOLUME_MISMATCH,
            "spec.mappings.storageClasses",
        ),
    ],
)
def test_what_cannot_be_is_refused(wanted: VMRestore, observed: ObservedRestore, reason: Reason, words: str) -> None:
    """A volume that the point lacks, a name that is taken, a class that does not exist: one sentence each."""
    refusal = admit(wanted, point_of(backup()), observed)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.message


@pytest.mark.parametrize("mode", ["NewVM", "VolumesOnly"])
def test_volumes_get_the_class_that_stands_for_their_own(mode: str) -> None:
    """A mapped class replaces the one of the point; a mapping of another class changes nothing."""
    observed = seen(storage_classes=frozenset({"slow"}))
    admission = admit(restore(mode, **MAPPED), point_of(backup()), observed)
    assert not isinstance(admission, Refusal)
    assert {volume.storage_class_name for volume in admission.volumes} == {"slow"}
    other = {"mappings": {"storageClasses": [{"from": "gold", "to": "slow"}]}}
    kept = admit(restore(mode, **other), point_of(backup()), replace(observed, storage_classes=frozenset({"fast"})))
    assert not isinstance(kept, Refusal)
    assert {volume.storage_class_name for volume in kept.volumes} == {"fast"}
