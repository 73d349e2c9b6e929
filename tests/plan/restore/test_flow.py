"""Whole restores in a miniature cluster: killed at every write, disturbed, failing, cancelled."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.restore.disturbance import run_disturbed, run_killed, survivals
from tests.plan.restore.objects import NOW, OPERATOR, SHOP, machine_objects, restore
from tests.plan.restore.world import World

from safehold.api.restored_volumes import RECORDED_ANNOTATIONS, RECORDED_BYTES, OwnerRecord, VolumeRestore
from safehold.plan.conditions import is_true
from safehold.plan.names import KEPT_UNTIL, RESTORED_BY, UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.storage import Claim
from safehold.reasons import Reason


def assert_restored_in_place(world: World) -> None:
    """The VM runs as before on restored volumes; the old ones are kept and named; nothing else is left."""
    assert is_true(world.restore.status.conditions, "Ready"), world.restore.status
    assert world.vm is not None
    assert world.vm.run_strategy == "Always"
    for name in ("root", "data"):
        assert world.content_of(f"orders-{name}") == "restored"
        assert world.volumes[f"old-{name}"].reclaim_policy == "Retain"
        assert world.volumes[f"old-{name}"].labels[UNDO_OF] == "restore-uid"
        assert KEPT_UNTIL in world.volumes[f"old-{name}"].annotations
        assert world.contents[f"old-{name}"] == "old"
        new = world.volumes[world.claims[SHOP, f"orders-{name}"].volume or ""]
        assert new.reclaim_policy == "Delete"
    assert not world.leftovers()
    assert "old" not in world.lost


def assert_untouched(world: World) -> None:
    """The VM runs as before on its own volumes, and nothing is left of the restore."""
    assert world.vm is not None
    assert world.vm.run_strategy == "Always"
    for name in ("root", "data"):
        assert world.content_of(f"orders-{name}") == "old"
        assert world.volumes[f"old-{name}"].reclaim_policy == "Delete"
    assert not world.leftovers()


def test_a_restore_in_place_swaps_the_volumes() -> None:
    """In place, claims keep name, labels and annotations, and get new volumes."""
    world = World.with_running_vm()
    world.run()
    assert_restored_in_place(world)
    claim = world.claims[SHOP, "orders-data"]
    assert claim.labels["app"] == "orders"
    assert claim.annotations["note"] == "kept"
    assert "pv.kubernetes.io/bind-completed" not in claim.annotations


def test_a_new_vm_gets_its_own_claims_and_what_it_needs() -> None:
    """As a new VM, the original is not touched, and the copy is run as it was backed up."""
    world = World(restore("NewVM"))
    world.run()
    assert is_true(world.restore.status.conditions, "Ready")
    assert world.vm is not None
    assert (world.vm_name, world.vm.run_strategy) == ("orders-copy", "Always")
    contents = [world.content_of(record.claim_name) for record in world.restore.status.volumes]
    assert contents == ["restored", "restored"]
    assert ("Secret", "orders-init") in world.objects
    assert not world.leftovers()


@pytest.mark.parametrize(("asked", "left"), [("Halted", "Halted"), ("Always", "Always"), ("AsBackedUp", "Always")])
def test_a_new_vm_is_left_as_asked(asked: str, left: str) -> None:
    """`runStrategy` decides how the new VM is left."""
    world = World(restore("NewVM", runStrategy=asked))
    world.run()
    assert world.vm is not None
    assert world.vm.run_strategy == left


@settings(max_examples=150)
@given(data=st.data())
def test_it_converges_wherever_it_is_killed_and_disturbed(data: st.DataObject) -> None:
    """Killed after any status or write, with others acting in between, a restore in place ends restored.

    Disturbances: somebody starts the VM, deletes a filling claim that was handed over, or deletes a new claim.
    """
    world = World.with_running_vm()

    def was_handed_over(record: VolumeRestore, claim: Claim) -> bool:
        return RESTORED_BY in claim.labels and (OPERATOR, record.prime_claim) in world.claims

    run_disturbed(world, data, 60, was_handed_over)
    world.run()
    assert_restored_in_place(world)


@settings(max_examples=60)
@given(looks=st.integers(0, 60))
def test_a_filling_claim_that_somebody_deletes_costs_the_restore_and_not_the_vm(looks: int) -> None:
    """Whenever a filling claim is deleted, the VM ends with all restored volumes or with all of its own."""
    world = World.with_running_vm()
    for _ in range(looks):
        world.step()
    for claim in [found for (namespace, _), found in world.claims.items() if namespace == OPERATOR]:
        world.delete_claim(claim.ref)
    ended = world.run()
    if is_true(ended.status.conditions, "Ready"):
        assert_restored_in_place(world)
    else:
        assert_untouched(world)


@settings(max_examples=80)
@given(survives=survivals(40))
def test_a_new_vm_converges_wherever_it_is_killed(survives: list[bool]) -> None:
    """Killed after any status or write, a restore to a new VM ends restored, once."""
    world = World(restore("NewVM"))
    run_killed(world, survives)
    world.run()
    assert is_true(world.restore.status.conditions, "Ready")
    assert not world.leftovers()


@settings(max_examples=60)
@given(looks=st.integers(0, 60), mode=st.sampled_from(["InPlace", "NewVM"]))
def test_deleting_a_restore_takes_it_back_or_finishes_the_swap(looks: int, mode: str) -> None:
    """A VMRestore that is deleted leaves the VM as it was, or, once a volume may be swapped, all swapped."""
    world = World.with_running_vm() if mode == "InPlace" else World(restore("NewVM"))
    for _ in range(looks):
        world.step()
    swapped = world.look().swap_began or is_true(world.restore.status.conditions, "Ready")
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": NOW})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    if mode == "NewVM":
        assert swapped or (world.vm is None and not world.objects)
        assert not world.leftovers()
    elif swapped:
        assert_restored_in_place(world)
    else:
        assert_untouched(world)


@pytest.mark.parametrize("reason", ["VerificationFailed", "PointNotYours", "Damaged"])
def test_a_worker_that_fails_leaves_everything_as_it_was(reason: str) -> None:
    """What the worker reports is the restore's failure; the VM is started again and nothing is left."""
    world = World.with_running_vm()
    world.job_result, world.report_reason = "Failed", reason
    ended = world.run()
    assert is_true(ended.status.conditions, "Stalled")
    assert ended.status.failure is not None
    assert (ended.status.failure.reason, ended.status.failure.message) == (reason, "the worker's sentence")
    assert_untouched(world)


def test_a_namespace_that_ends_is_not_held_up() -> None:
    """In a namespace that ends nothing is created or started; what is outside of it goes."""
    world = World(restore("NewVM"))
    for _ in range(12):
        world.step()
    world.ending = True
    ended = world.run()
    assert ended.status.failure is None or ended.status.failure.reason == "Cancelled"
    assert not world.leftovers()


def test_a_vm_that_does_not_stop_is_started_again() -> None:
    """After its patience a restore gives up, says so, and leaves the VM running."""
    world = World.with_running_vm()
    while not isinstance(world.decide().step, steps.SetRunStrategy):
        world.save(world.decide().status)
    world.now = NOW + timedelta(minutes=20)
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Halted", is_active=True)
    decision = world.decide()
    assert decision.status.failure is not None
    assert decision.status.failure.reason == "TimedOut"
    world.save(decision.status)
    world.run()
    assert_untouched(world)


def test_a_foreign_claim_under_the_name_is_never_deleted() -> None:
    """A claim that somebody made in the gap of a swap is named and waited for; with it gone the swap goes on."""
    world = World.with_running_vm()
    while (SHOP, "orders-root") in world.claims:
        world.step()
    intruder = replace(world.claims[SHOP, "orders-data"], volume=None, phase="Pending", labels={})
    intruder = replace(intruder, ref=replace(intruder.ref, name="orders-root", uid="intruder"))
    world.claims[SHOP, "orders-root"] = intruder
    for _ in range(5):
        decision = world.step()
    assert isinstance(decision.step, steps.Wait)
    assert decision.step.reason is Reason.CLAIM_CONFLICT
    assert "orders-root" in decision.step.message
    world.delete_claim(intruder.ref)
    world.run()
    assert_restored_in_place(world)


def swapped_in_part() -> World:
    """In place, at the moment at which the first claim is gone."""
    world = World.with_running_vm()
    while (SHOP, "orders-root") in world.claims:
        world.step()
    return world


def test_a_swap_that_somebody_blocks_does_not_hang() -> None:
    """With a foreign claim in the way a deleted restore ends; the old volume is kept and named."""
    world = swapped_in_part()
    foreign = replace(world.claims[SHOP, "orders-data"], volume=None, phase="Pending", labels={})
    ref = replace(foreign.ref, name="orders-root", uid="intruder")
    world.claims[SHOP, "orders-root"] = replace(foreign, ref=ref)
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": NOW})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    ended = world.run()
    assert ended.status.failure is not None
    assert f"{UNDO_OF}=restore-uid" in ended.status.failure.message
    assert world.contents["old-root"] == "old"
    assert world.volumes["old-root"].labels[UNDO_OF] == "restore-uid"
    assert KEPT_UNTIL not in world.volumes["old-root"].annotations
    assert not [place for place in world.claims if place[0] == OPERATOR]


@settings(max_examples=30)
@given(looks=st.integers(0, 12))
def test_a_swap_whose_new_volume_is_gone_is_swapped_back(looks: int) -> None:
    """A restore that fails half-way, wherever it is when the restored volume vanishes, leaves the VM as it was."""
    world = swapped_in_part()
    for _ in range(looks):
        world.step()
    if all(record.step == "Done" for record in world.restore.status.volumes):
        return  # then it is the tenant's to lose
    del world.volumes[world.restore.status.volumes[0].persistent_volume or ""]
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "VolumeError"
    assert_untouched(world)
    assert world.claims[SHOP, "orders-root"].labels["app"] == "orders"
    assert all(UNDO_OF not in world.volumes[f"old-{name}"].labels for name in ("root", "data"))


def test_a_vm_that_is_deleted_during_the_swap_is_told() -> None:
    """The swap goes on, without owners that are gone, and the restore says where the restored volumes are."""
    world = World.with_running_vm()
    owner = OwnerRecord(api_version="kubevirt.io/v1", kind="VirtualMachine", name="orders", uid="vm-uid")
    for name in ("root", "data"):
        world.claims[SHOP, f"orders-{name}"] = replace(world.claims[SHOP, f"orders-{name}"], owners=(owner,))
    while (SHOP, "orders-root") in world.claims:
        world.step()
    world.vm = None
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == Reason.VM_NOT_FOUND
    assert "orders-root, orders-data" in ended.status.failure.message
    for name in ("root", "data"):
        assert world.content_of(f"orders-{name}") == "restored"
        assert world.claims[SHOP, f"orders-{name}"].owners == ()


def test_a_volume_that_is_changed_meanwhile_is_told() -> None:
    """A VM whose volume is another claim by the time of the swap is left alone."""
    world = World.with_running_vm()
    while not all(record.step == "Verified" for record in world.restore.status.volumes) or world.job is None:
        world.step()
    assert world.vm is not None
    world.vm = replace(world.vm, claims={**world.vm.claims, "data": "another"})
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == Reason.VOLUME_MISMATCH
    assert "is another now" in ended.status.failure.message
    assert_untouched(world)


def test_a_forged_manifest_hands_nothing_over() -> None:
    """A point whose manifest names a ClusterRoleBinding is refused before a volume is handed over."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "mine", "namespace": SHOP},
    }
    world = World(restore("NewVM"), recalled=[*machine_objects(), binding])
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "RestoreNotAllowed"
    assert "ClusterRoleBinding" in ended.status.failure.message
    assert not world.objects
    assert not world.leftovers()
    assert world.vm is None


def test_existing_objects_are_kept_and_named() -> None:
    """A Secret of that name with other content is not overwritten, and the condition says so."""
    world = World(restore("NewVM"))
    world.objects["Secret", "orders-init"] = {
        "kind": "Secret",
        "metadata": {"name": "orders-init"},
        "data": {"a": "Yg=="},
    }
    ended = world.run()
    assert world.objects["Secret", "orders-init"]["data"] == {"a": "Yg=="}
    ready = next(found for found in ended.status.conditions if found.type == "Ready")
    assert "Secret orders-init" in ready.message


def test_a_target_that_is_not_ready_is_waited_for_and_then_given_up() -> None:
    """TargetNotReady is the one refusal that may pass by itself; it has an end."""
    world = World.with_running_vm()
    world.target = Refusal(Reason.TARGET_NOT_READY, "ClusterBackupTarget primary has not been checked yet")
    world.save(world.decide().status)
    decision = world.decide()
    assert isinstance(decision.step, steps.Wait)
    assert decision.step.reason is Reason.TARGET_NOT_READY
    world.now = NOW + timedelta(minutes=11)
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "TargetNotReady"
    assert_untouched(world)


def test_a_backup_that_leaves_the_catalogue_meanwhile_is_not_missed() -> None:
    """All that a restore needs of its VMBackup is in its record from the choice on; the point is in the bucket."""
    world = World.with_running_vm()
    world.save(world.decide().status)
    world.backups = []
    world.run()
    assert_restored_in_place(world)


def test_annotations_that_a_status_cannot_hold_are_named() -> None:
    """The small ones come back with the new claim; of the others the restore says that they do not."""
    world = World.with_running_vm()
    old = world.claims[SHOP, "orders-root"]
    large = {"tool.example/cache": "x" * RECORDED_BYTES, "tool.example/small": "y"}
    many = {f"tool.example/{number:03}": "z" for number in range(100)}
    world.claims[SHOP, "orders-root"] = replace(old, annotations={**old.annotations, **large})
    world.claims[SHOP, "orders-data"] = replace(world.claims[SHOP, "orders-data"], annotations=many)
    restored = world.run()
    assert_restored_in_place(world)
    assert world.claims[SHOP, "orders-root"].annotations.keys() >= {"note", "tool.example/small"}
    assert "tool.example/cache" not in world.claims[SHOP, "orders-root"].annotations
    assert len(many.keys() & world.claims[SHOP, "orders-data"].annotations.keys()) == RECORDED_ANNOTATIONS
    assert "not carried over: " in restored.status.conditions[0].message
    assert "tool.example/cache of orders-root" in restored.status.conditions[0].message
