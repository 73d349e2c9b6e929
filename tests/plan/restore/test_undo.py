"""Undo of a restore in place, wherever it is killed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.restore.completion import NAMES, WEEK, assert_undone, completed, expire
from tests.plan.restore.disturbance import run_disturbed
from tests.plan.restore.objects import NOW, SHOP, restore
from tests.plan.restore.world import World

from safehold.api import VMRestore
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.conditions import is_true
from safehold.plan.names import KEPT_UNTIL, UNDO_OF
from safehold.plan.restore import steps
from safehold.plan.storage import Claim
from safehold.reasons import Reason


def test_undo_brings_the_old_volumes_back() -> None:
    """Claims get their old volumes and keep what they were given since; a second week begins."""
    world = completed()
    first_end = world.restore.status.undo_until
    claim = world.claims[SHOP, "orders-data"]
    world.claims[SHOP, "orders-data"] = replace(claim, labels={**claim.labels, "since": "the restore"})
    world.now += timedelta(days=3)
    world.ask_undo()
    world.run()
    assert_undone(world)
    assert world.claims[SHOP, "orders-data"].labels["since"] == "the restore"
    assert first_end is not None
    assert (world.restore.status.undo_until or first_end) - first_end > timedelta(days=2)


@settings(max_examples=150)
@given(data=st.data())
def test_an_undo_converges_wherever_it_is_killed_and_disturbed(data: st.DataObject) -> None:
    """Killed after any status or write, while others start the VM or delete a new claim, it ends undone."""
    world = completed()
    world.ask_undo()

    def was_put_back(record: VolumeRestore, claim: Claim) -> bool:
        old = f"old-{record.name}"
        return claim.volume == old and UNDO_OF in world.volumes[old].labels

    run_disturbed(world, data, 40, was_put_back)
    world.run()
    assert_undone(world)


def test_a_volume_that_is_grown_before_the_undo_gets_its_old_size_back() -> None:
    """The claim asks for what the old volume has: the storage would bind it to too small a one without a word."""
    world = completed()
    record = world.restore.status.volumes[0]
    grown = record.model_copy(update={"capacity_bytes": 2 * record.capacity_bytes})
    status = world.restore.status
    world.save(status.model_copy(update={"volumes": [grown, *status.volumes[1:]]}))
    world.ask_undo()
    world.run()
    assert_undone(world)
    old = world.volumes[f"old-{record.name}"]
    assert world.claims[SHOP, record.claim_name].shape.size_bytes == old.shape.size_bytes


def lose_old_volume(world: World) -> None:
    """Somebody deletes a kept volume."""
    del world.volumes["old-data"]


def replace_vm(world: World) -> None:
    """The VM is another one of its name."""
    assert world.vm is not None
    world.vm = replace(world.vm, uid="another")


def change_volume(world: World) -> None:
    """The VM has another claim as its volume now."""
    assert world.vm is not None
    world.vm = replace(world.vm, claims={**world.vm.claims, "data": "another"})


def restore_again(world: World) -> None:
    """A later restore gave the claim another volume."""
    _restore_later(world)


def expire_later_restore(world: World) -> None:
    """A later restore gave the claim another volume, and can no longer be undone."""
    _restore_later(world, removalTime=NOW)


def rebind(world: World) -> None:
    """Somebody gave the claim another volume."""
    world.claims[SHOP, "orders-data"] = replace(world.claims[SHOP, "orders-data"], volume="another")


def _restore_later(world: World, **status: Any) -> None:
    world.claims[SHOP, "orders-data"] = replace(world.claims[SHOP, "orders-data"], volume="pv-later")
    later = world.restore.to_wire()
    later["metadata"] |= {"name": "later", "uid": "later-uid"}
    for record in later["status"]["volumes"]:
        record["persistentVolume"] = "pv-later" if record["name"] == "data" else "another"
    later["status"] |= status
    world.others_restores = [VMRestore.model_validate(later)]


REFUSALS = [
    (expire, Reason.UNDO_EXPIRED, "the time for an undo ended"),
    (lose_old_volume, Reason.UNDO_NOT_POSSIBLE, "PersistentVolume old-data"),
    (replace_vm, Reason.VM_NOT_FOUND, "VM orders"),
    (expire_later_restore, Reason.UNDO_NOT_POSSIBLE, "the undo of VMRestore later, which came after it, is over"),
]


@pytest.mark.parametrize(("change", "reason", "words"), REFUSALS, ids=[row[0].__name__ for row in REFUSALS])
def test_an_undo_that_cannot_be_is_refused_before_anything_is_stopped(change: Any, reason: Reason, words: str) -> None:
    """One sentence says why, the VM runs on, and the restore's own end stays as it was."""
    world = completed()
    change(world)
    before, machine = world.restore.status.completion_time, world.vm
    world.ask_undo()
    decision = world.decide()
    assert (decision.status.phase, decision.status.conditions[0].reason) == ("UndoFailed", reason)
    assert words in decision.status.conditions[0].message
    assert isinstance(decision.step, steps.Record)
    assert (world.vm, decision.status.completion_time) == (machine, before)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (change_volume, Reason.VOLUME_MISMATCH, "change the VM back first"),
        (restore_again, Reason.CLAIM_CONFLICT, "undo VMRestore later, which came after it, and this undo begins"),
        (rebind, Reason.CLAIM_CONFLICT, "no longer holds the volume"),
    ],
)
def test_an_undo_begins_once_what_is_in_its_way_was_mended(change: Any, reason: Reason, words: str) -> None:
    """It can be asked for only once, so it says what is to be done, looks again, and then goes back."""
    world = completed()
    machine, claims = world.vm, dict(world.claims)
    change(world)
    hindered = world.vm
    world.ask_undo()
    decision = world.decide()
    assert is_true(decision.status.conditions, "Stalled")
    assert decision.status.conditions[0].reason == reason
    assert words in decision.status.conditions[0].message
    assert decision.step == steps.Finished(look_again=world.now + timedelta(seconds=15))
    assert (decision.status.undo_end_time, world.vm) == (None, hindered)
    world.save(decision.status)
    world.vm, world.claims = machine, claims
    world.run()
    assert_undone(world)


def test_an_undo_that_is_hindered_until_its_time_is_over_ends() -> None:
    """What was kept is then removed, as without it."""
    world = completed()
    rebind(world)
    world.ask_undo()
    world.save(world.decide().status)
    expire(world)
    decision = world.decide()
    assert (decision.status.phase, decision.status.conditions[0].reason) == ("UndoFailed", Reason.UNDO_EXPIRED)


@pytest.mark.parametrize("looks", range(0, 30, 2))
def test_a_vm_that_is_deleted_during_the_undo_is_told(looks: int) -> None:
    """Its claims end with one kind of volumes, and nothing is lost or waited for; the sentence says what they hold."""
    world = completed()
    world.ask_undo()
    for _ in range(looks):
        world.step()
    world.vm = None
    ended = world.run()
    assert ended.status.undo_end_time is not None
    held = {world.content_of(f"orders-{name}") for name in NAMES}
    message = ended.status.conditions[0].message
    if ended.status.phase == "Undone":
        assert held == {"old"}
        assert "somebody deleted VM orders during the undo" in message or "is back" in message
    else:
        assert held == {"restored"}
        assert "VM orders is gone" in message or "during its undo; none of its claims was changed" in message
    assert not world.leftovers()
    assert world.lost == []


@pytest.mark.parametrize("looks", range(0, 30, 2))
def test_a_kept_volume_that_vanishes_during_the_undo_ends_it(looks: int) -> None:
    """The other volumes are whole, the VM runs again on what its claims hold, and nobody waits for ever."""
    world = completed()
    world.ask_undo()
    for _ in range(looks):
        world.step()
    if world.restore.status.undo_end_time is not None or world.volumes["old-root"].phase == "Bound":
        return  # then it is the VM's own again, and the tenant's to lose
    del world.volumes["old-root"]
    ended = world.run()
    assert (ended.status.phase, ended.status.undo_end_time is not None) == ("UndoFailed", True)
    assert "old-root" in ended.status.conditions[0].message
    assert world.vm is not None
    assert world.vm.run_strategy == "Always"
    assert {"restored", "old"} <= {world.contents[name] for name in world.volumes}
    assert world.lost == []


def test_an_undo_outlives_its_own_time() -> None:
    """What began within its time is finished after it, ttl or not; then the restored volumes' time begins."""
    world = completed(ttlSecondsAfterFinished=60)
    world.ask_undo()
    while world.restore.status.undo_start_time is None:
        world.step()
    world.now += WEEK + timedelta(hours=1)
    world.run()
    assert_undone(world)


def test_an_undo_is_done_once() -> None:
    """A VMRestore that was undone stays so, whatever becomes of the VM since."""
    world = completed()
    world.ask_undo()
    world.run()
    assert world.vm is not None
    world.vm = replace(world.vm, uid="another", claims={"root": "another"})
    before = world.restore.status
    decision = world.decide()
    assert isinstance(decision.step, steps.Finished)
    assert decision.status == before


def test_a_restore_that_failed_has_nothing_to_undo() -> None:
    """`undo` of a failed restore says that its failure left nothing to go back from."""
    world = World.with_running_vm()
    world.job_result, world.report_reason = "Failed", "Damaged"
    world.run()
    world.ask_undo()
    decision = world.decide()
    assert decision.status.conditions[0].reason == Reason.UNDO_NOT_POSSIBLE
    assert decision.status.failure == world.restore.status.failure


def test_an_undo_waits_for_another_restore_of_the_vm() -> None:
    """Two at once would swap each other's volumes."""
    world = completed()
    other = restore().to_wire()
    other["metadata"] |= {"name": "other", "uid": "other-uid"}
    world.others_restores = [VMRestore.model_validate({**other, "status": {"vm": {"name": "orders"}}})]
    world.ask_undo()
    decision = world.decide()
    assert isinstance(decision.step, steps.Wait)
    assert "VMRestore other" in decision.step.message
    assert decision.status.undo_start_time is None
    world.others_restores = []
    world.run()
    assert_undone(world)


def test_a_vm_that_does_not_stop_ends_the_undo_and_runs_on() -> None:
    """After its patience the undo gives up before a claim was touched; the old volumes stay kept."""
    world = completed()
    world.ask_undo()
    world.save(world.decide().status)
    world.now += timedelta(minutes=20)
    assert world.vm is not None
    world.vm = replace(world.vm, run_strategy="Halted", is_active=True)
    for _ in range(5):
        decision = world.decide()
        world.save(decision.status)
        world.carry_out(decision.step)
    assert (world.restore.status.phase, world.restore.status.conditions[0].reason) == ("UndoFailed", "TimedOut")
    assert world.vm.run_strategy == "Always"
    assert world.content_of("orders-root") == "restored"
    assert world.volumes["old-root"].labels[UNDO_OF] == "restore-uid"


def test_a_claim_in_the_way_is_waited_for() -> None:
    """A foreign claim that takes a name in the gap is named and never deleted; without it the undo goes on."""
    world = completed()
    world.ask_undo()
    while (SHOP, "orders-root") in world.claims:
        world.step()
    intruder = replace(world.claims[SHOP, "orders-data"], volume=None, phase="Pending", labels={})
    intruder = replace(intruder, ref=replace(intruder.ref, name="orders-root", uid="intruder"))
    world.claims[SHOP, "orders-root"] = intruder
    decision = world.decide()
    assert isinstance(decision.step, steps.Wait)
    assert (decision.step.reason, "orders-root" in decision.step.message) == (Reason.CLAIM_CONFLICT, True)
    world.delete_claim(intruder.ref)
    world.run()
    assert_undone(world)


def test_a_namespace_that_ends_keeps_the_volumes_for_their_time() -> None:
    """Nothing can be created there any more: the undo ends, and the kept volumes still say until when."""
    world = completed()
    world.ask_undo()
    while (SHOP, "orders-root") in world.claims:
        world.step()
    world.ending = True
    world.step()
    assert world.restore.status.phase == "UndoFailed"
    assert KEPT_UNTIL in world.volumes["old-root"].annotations
    assert world.volumes["old-root"].reclaim_policy == "Retain"
