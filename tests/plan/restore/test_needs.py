"""What a new VM needs: TPM and EFI state, claims of their old names, objects that are there already."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.restore.disturbance import run_killed, survivals
from tests.plan.restore.objects import SHOP, backup, machine_objects, restore
from tests.plan.restore.test_admission import CLAIM, LIVE, VM, seen
from tests.plan.restore.world import World

from safehold.api import VMBackup, VMRestore
from safehold.plan.conditions import is_true
from safehold.plan.machine_state import STATE_VOLUME, state_labels
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.admission import Admission, admit
from safehold.plan.restore.machine.data_volumes import POPULATED_FOR, PREPOPULATED
from safehold.plan.restore.point.description import point_of
from safehold.reasons import Reason

OLD_SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "orders-init", "namespace": SHOP, "uid": "old-secret", "labels": {"app": "orders"}},
    "data": {"a": "Yg=="},
}


def with_state() -> VMBackup:
    """The VMBackup orders-1 with TPM state beside its disks."""
    found = backup()
    state = found.status.volumes[0].model_copy(
        update={
            "name": STATE_VOLUME,
            "role": "State",
            "mode": "Filesystem",
            "claim_name": "persistent-state-for-orders",
        }
    )
    status = found.status.model_copy(update={"volumes": [*found.status.volumes, state]})
    return found.model_copy(update={"status": status})


def as_backed_up(**spec: Any) -> VMRestore:
    """A new VM whose claims get their old names."""
    return restore("NewVM", target={"mode": "NewVM", "name": "orders-copy", "claimNames": "AsBackedUp"}, **spec)


def overwriting() -> World:
    """A new VM that may replace what is there; a Secret of its name is."""
    world = World(restore("NewVM", existingObjects="Overwrite"))
    world.objects["Secret", "orders-init"] = OLD_SECRET
    return world


def claim_of(world: World, volume: str) -> Any:
    """The claim that holds a restored volume."""
    record = next(record for record in world.restore.status.volumes if record.name == volume)
    return world.claims[SHOP, record.claim_name]


def test_the_state_of_a_new_vm_is_found_by_its_label() -> None:
    """KubeVirt takes the claim with the label of the VM's new name, and it goes with the VM."""
    world = World(restore("NewVM"), backups=[with_state()])
    world.run()
    assert is_true(world.restore.status.conditions, "Ready"), world.restore.status
    claim = claim_of(world, STATE_VOLUME)
    assert state_labels("orders-copy").items() <= claim.labels.items()
    assert [(owner.kind, owner.uid) for owner in claim.owners] == [("VirtualMachine", "new-vm")]
    assert not claim_of(world, "root").owners
    assert world.content_of(claim.ref.name) == "restored"


def test_the_worker_files_the_state_under_the_new_name() -> None:
    """It gets the volume's folder and the VM's new name; a disk gets neither."""
    world = World(restore("NewVM"), backups=[with_state()])
    start = world.start_worker()
    assert isinstance(start.step, steps.StartRestoreJob)
    volumes = {volume.name: volume for volume in start.step.run.volumes}
    state, root = volumes[STATE_VOLUME], volumes["root"]
    assert (state.role, state.path, state.vm) == ("State", f"/volumes/{STATE_VOLUME}", "orders-copy")
    assert (root.role, root.vm) == ("Disk", None)


def test_in_place_the_state_is_swapped_like_a_disk() -> None:
    """Under the claim that KubeVirt found before; one that is gone comes back with a name like KubeVirt's."""
    vm = replace(VM, claims={**VM.claims, STATE_VOLUME: "persistent-state-for-orders-x1"})
    shape = replace(CLAIM.shape, mode="Filesystem")
    live = {**LIVE, "persistent-state-for-orders-x1": replace(CLAIM, shape=shape)}
    swapped = admit(restore(), point_of(with_state()), seen(vm=vm, live_claims=live))
    assert isinstance(swapped, Admission)
    assert swapped.volumes[-1].claim_name == "persistent-state-for-orders-x1"
    lost = admit(restore(), point_of(with_state()), seen())
    assert isinstance(lost, Admission)
    assert lost.volumes[-1].claim_name.startswith("persistent-state-for-orders-")


def test_another_state_of_that_name_is_not_confused_with_the_restored_one() -> None:
    """KubeVirt would take either of two claims with the VM's label."""
    taken = seen(vm=None, state_claim="persistent-state-for-orders-copy-old")
    refusal = admit(restore("NewVM"), point_of(with_state()), taken)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CLAIM_CONFLICT
    assert isinstance(admit(restore("NewVM"), point_of(backup()), taken), Admission)


def test_claims_come_back_under_their_old_names() -> None:
    """As Git has them, where they are free; a taken one is refused before anything is made."""
    free = admit(as_backed_up(), point_of(backup()), seen(vm=None, live_claims={}))
    assert isinstance(free, Admission)
    assert [volume.claim_name for volume in free.volumes] == ["orders-root", "orders-data"]
    taken = admit(as_backed_up(), point_of(backup()), seen(vm=None, live_claims={"orders-data": CLAIM}))
    assert isinstance(taken, Refusal)
    assert taken.reason is Reason.CLAIM_CONFLICT
    assert "claim orders-data exists" in taken.message


def test_data_volumes_take_over_what_was_restored() -> None:
    """Both sides say that there is nothing to import; without old names there is no DataVolume at all."""
    objects = machine_objects()
    spec = objects[0]["spec"]
    spec["dataVolumeTemplates"] = [
        {"metadata": {"name": "orders-root", "annotations": {"note": "kept"}}, "spec": {"source": {"blank": {}}}},
        {"metadata": {"name": "orders-scratch"}, "spec": {"source": {"blank": {}}}},
    ]
    spec["template"]["spec"]["volumes"][0] = {"name": "root", "dataVolume": {"name": "orders-root"}}
    made: dict[str, dict[str, Any]] = {}
    for wanted in (as_backed_up(), restore("NewVM")):
        world = World(wanted, recalled=objects)
        while (decision := world.decide()) and not isinstance(decision.step, steps.Finished):
            if isinstance(decision.step, steps.CreateObject) and decision.step.manifest["kind"] == "VirtualMachine":
                made[str(wanted.spec.target.claim_names)] = dict(decision.step.manifest["spec"])
            world.follow(decision)
        annotated = claim_of(world, "root").annotations.get(POPULATED_FOR)
        assert annotated == ("orders-root" if wanted.spec.target.claim_names else None)
    adopted, plain = made["AsBackedUp"], made["None"]
    (template,) = adopted["dataVolumeTemplates"]
    assert template["metadata"] == {"name": "orders-root", "annotations": {"note": "kept", PREPOPULATED: "orders-root"}}
    assert adopted["template"]["spec"]["volumes"][0] == {"name": "root", "dataVolume": {"name": "orders-root"}}
    assert "dataVolumeTemplates" not in plain
    assert "persistentVolumeClaim" in plain["template"]["spec"]["volumes"][0]


def test_a_copy_with_its_tpm_keeps_the_firmware_id() -> None:
    """Its state is filed under the firmware id; a copy without state gets an id of its own."""
    objects = machine_objects()
    objects[0]["spec"]["template"]["spec"]["domain"] = {"firmware": {"uuid": "1-2-3"}}
    for held, firmware in ((with_state(), {"uuid": "1-2-3"}), (backup(), None)):
        world = World(restore("NewVM"), backups=[held], recalled=objects)
        found = None
        while (decision := world.decide()) and not isinstance(decision.step, steps.Finished):
            if isinstance(decision.step, steps.CreateObject) and decision.step.manifest["kind"] == "VirtualMachine":
                found = decision.step.manifest["spec"]["template"]["spec"]["domain"].get("firmware")
            world.follow(decision)
        assert found == firmware


def test_what_is_overwritten_is_kept_first() -> None:
    """With existingObjects Overwrite the Secret gets the point's content; what was there is in a Secret of its own."""
    world = overwriting()
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert "userdata" in world.objects["Secret", "orders-init"]["data"]
    assert world.saved is not None
    assert world.saved["Secret", "orders-init"]["data"] == {"a": "Yg=="}
    assert "uid" not in world.saved["Secret", "orders-init"]["metadata"]
    assert ended.status.replaced_objects == ["Secret orders-init"]
    assert ended.status.kept_objects == []
    ready = next(found for found in ended.status.conditions if found.type == "Ready")
    assert f"kept in Secret {ended.status.replaced_objects_secret}: Secret orders-init" in ready.message


def test_what_appears_after_the_secret_was_written_is_not_overwritten() -> None:
    """Nothing is replaced of which nothing is kept."""
    world = overwriting()
    world.saved = {}
    ended = world.run()
    assert world.objects["Secret", "orders-init"]["data"] == {"a": "Yg=="}
    assert ended.status.kept_objects == ["Secret orders-init"]


@settings(max_examples=40)
@given(survives=survivals(45))
def test_a_state_comes_back_wherever_the_restore_is_killed(survives: list[bool]) -> None:
    """Killed after any status or write, the VM ends with one claim of its label, which goes with it."""
    world = World(restore("NewVM"), backups=[with_state()])
    run_killed(world, survives)
    world.run()
    assert is_true(world.restore.status.conditions, "Ready"), world.restore.status
    labelled = [claim for claim in world.claims.values() if state_labels("orders-copy").items() <= claim.labels.items()]
    assert [world.content_of(claim.ref.name) for claim in labelled] == ["restored"]
    assert [owner.uid for owner in labelled[0].owners] == ["new-vm"]
    assert not world.leftovers()


@settings(max_examples=60)
@given(survives=survivals(40))
def test_overwriting_survives_a_kill_anywhere(survives: list[bool]) -> None:
    """Killed after any status or write, it ends with the point's content and with what was there kept."""
    world = overwriting()
    run_killed(world, survives)
    world.run()
    assert "userdata" in world.objects["Secret", "orders-init"]["data"]
    assert world.saved is not None
    assert world.saved["Secret", "orders-init"]["data"] == {"a": "Yg=="}


@settings(max_examples=60)
@given(looks=st.integers(0, 40))
def test_a_restore_that_is_given_up_puts_back_what_it_replaced(looks: int) -> None:
    """Deleted at any moment before its end, it leaves the old Secret, and none of its own."""
    world = overwriting()
    for _ in range(looks):
        world.step()
    if is_true(world.restore.status.conditions, "Ready"):
        return
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": world.now})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    secret = world.objects["Secret", "orders-init"]
    assert secret["data"] == {"a": "Yg=="}
    assert secret["metadata"]["labels"] == {"app": "orders"}
    assert world.vm is None


@pytest.mark.parametrize(
    ("selector", "volume", "words"),
    [
        ("a", "b", "no node can reach volume"),
        ("a", "a", None),
    ],
)
def test_new_volumes_lie_where_the_vm_can_run(selector: str, volume: str, words: str | None) -> None:
    """The worker of a restore in place runs where the VM's node selector and the volumes that it keeps allow."""

    def zone(name: str) -> dict[str, Any]:
        key = "topology.kubernetes.io/zone"
        return {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": [name]}]}]}

    world = World.with_running_vm()
    assert world.vm is not None
    world.vm = replace(world.vm, node_selector=zone(selector))
    decision = world.decide()
    while decision.status.phase != "Filling":
        world.follow(decision)
        decision = world.decide()
    for name, found in list(world.volumes.items()):
        if not name.startswith("old"):
            world.volumes[name] = replace(found, node_affinity=zone(volume))
    while not isinstance(decision.step, steps.StartRestoreJob) and decision.status.failure is None:
        world.follow(decision)
        for name, found in list(world.volumes.items()):
            if not name.startswith("old"):
                world.volumes[name] = replace(found, node_affinity=zone(volume))
        decision = world.decide()
    failure = decision.status.failure
    if words is None:
        assert isinstance(decision.step, steps.StartRestoreJob)
        assert decision.step.node_affinity == zone("a")
    else:
        assert failure is not None
        assert words in failure.message
