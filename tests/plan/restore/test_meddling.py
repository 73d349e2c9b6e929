"""What others do to the VM, its claims and its namespace while it is restored in place, at every moment of it."""

from dataclasses import replace

import pytest
from tests.plan.restore.objects import OPERATOR, SHOP, restore
from tests.plan.restore.test_flow import assert_restored_in_place
from tests.plan.restore.world import World

from safehold.plan.conditions import is_true
from safehold.plan.names import UNDO_OF
from safehold.plan.restore import steps
from safehold.reasons import Reason

NAMES = ("root", "data")
MOMENTS = range(0, 60, 3)


def after(looks: int, world: World) -> World:
    """So many passes later."""
    for _ in range(looks):
        world.step()
    return world


def is_over(world: World) -> bool:
    """Whether the restore had ended before anybody could meddle."""
    return world.restore.status.completion_time is not None


@pytest.mark.parametrize("looks", MOMENTS)
def test_a_vm_that_is_deleted_ends_with_one_kind_of_volumes(looks: int) -> None:
    """Before the swap the restore ends and its claims are as they were; after it all of them are restored."""
    world = after(looks, World.with_running_vm())
    if is_over(world):
        return
    world.vm = None
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == Reason.VM_NOT_FOUND
    held = [world.content_of(f"orders-{name}") for name in NAMES]
    assert held in (["old", "old"], ["restored", "restored"])
    assert not world.leftovers()
    assert "old" not in world.lost


@pytest.mark.parametrize("looks", MOMENTS)
def test_a_vm_that_git_makes_anew_is_another_one(looks: int) -> None:
    """Under the same name with another uid it is neither stopped nor started once it is known to be another."""
    world = after(looks, World.with_running_vm())
    if is_over(world) or world.restore.status.vm is None:
        return
    assert world.vm is not None
    world.vm = replace(world.vm, uid="another", run_strategy="Halted", is_active=False, is_running=False)
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == Reason.VM_NOT_FOUND
    assert world.vm.run_strategy == "Halted"
    assert [world.content_of(f"orders-{name}") for name in NAMES] in (["old", "old"], ["restored", "restored"])
    assert not world.leftovers()


@pytest.mark.parametrize("looks", MOMENTS)
def test_a_claim_that_its_owner_deletes_comes_back_restored(looks: int) -> None:
    """Whoever deletes a claim of the VM, with its volume, gets it back with what was asked for."""
    world = after(looks, World.with_running_vm())
    claim = world.claims.get((SHOP, "orders-root"))
    if is_over(world) or claim is None or claim.volume != "old-root" or not world.restore.status.volumes:
        return
    world.vm = replace(world.vm, is_active=False) if world.vm else None
    world.delete_claim(claim.ref)
    world.run()
    assert is_true(world.restore.status.conditions, "Ready"), world.restore.status
    assert [world.content_of(f"orders-{name}") for name in NAMES] == ["restored", "restored"]
    assert not world.leftovers()


@pytest.mark.parametrize("looks", MOMENTS)
@pytest.mark.parametrize("mode", ["InPlace", "NewVM"])
def test_a_namespace_that_ends_takes_everything_with_it(looks: int, mode: str) -> None:
    """VM and claims go; nothing of the restore stays, in the operator's namespace or as a volume that nobody has."""
    world = after(looks, World.with_running_vm() if mode == "InPlace" else World(restore("NewVM")))
    if is_over(world):
        return
    world.ending, world.vm = True, None
    world.objects.clear()
    for (namespace, _), claim in list(world.claims.items()):
        if namespace == SHOP:
            world.delete_claim(claim.ref)
    ended = world.run()
    assert ended.status.failure is None or ended.status.failure.reason == Reason.CANCELLED
    assert not world.leftovers()
    assert not [place for place in world.claims if place[0] == OPERATOR]
    kept = {name for name, volume in world.volumes.items() if UNDO_OF in volume.labels}
    assert kept <= {"old-root", "old-data"}


def test_a_restore_whose_storage_is_used_up_in_the_gap_goes_on_when_there_is_room() -> None:
    """The claim that a swap creates may be refused by a quota: nothing is lost, and the next try is the same write."""
    world = World.with_running_vm()
    while not isinstance((decision := world.decide()).step, steps.CreateClaim) or decision.step.claim.namespace != SHOP:
        world.follow(decision)
    for _ in range(5):
        decision = world.decide()
        world.save(decision.status)
        assert isinstance(decision.step, steps.CreateClaim)
        world.others()
        assert sorted(world.contents[name] for name in world.volumes) == ["old", "old", "restored", "restored"]
    world.run()
    assert_restored_in_place(world)


def test_a_restore_that_is_deleted_while_nothing_can_be_claimed_keeps_both_volumes() -> None:
    """Deleted in the gap of the swap it goes on forward: the VM's volumes, old and new, are all still there."""
    world = World.with_running_vm()
    while (SHOP, "orders-root") in world.claims:
        world.step()
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": world.now})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    for _ in range(5):
        world.save(world.decide().status)
        world.others()
    assert sorted(world.contents[name] for name in world.volumes) == ["old", "old", "restored", "restored"]
    world.run()
    assert_restored_in_place(world)


def test_leftovers_of_an_earlier_restore_of_the_name_are_not_met() -> None:
    """Everything in the operator's namespace is named after the uid: one of the same name begins from nothing."""
    first = World.with_running_vm()
    first.start_worker()
    again = World.with_running_vm()
    metadata = again.restore.metadata.model_copy(update={"uid": "later-uid"})
    again.restore = again.restore.model_copy(update={"metadata": metadata})
    names = {record.prime_claim for record in first.restore.status.volumes}
    while not again.restore.status.volumes:
        again.step()
    assert names.isdisjoint(record.prime_claim for record in again.restore.status.volumes)
