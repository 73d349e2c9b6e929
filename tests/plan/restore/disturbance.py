"""A reconcile that is killed after any status or write, while others act in between."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from tests.plan.restore.objects import SHOP
from tests.plan.restore.world import World

from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.restore import steps
from safehold.plan.storage import Claim


def survivals(most: int) -> st.SearchStrategy[list[bool]]:
    """Up to so many passes: in each, whether the reconcile lives on from the status to the write."""
    return st.integers(0, most).flatmap(lambda passes: st.lists(st.booleans(), min_size=passes, max_size=passes))


def run_killed(world: World, survives: list[bool]) -> None:
    """A pass for each; one that does not survive saves its status and never does its step."""
    for survived in survives:
        decision = world.decide()
        if isinstance(decision.step, steps.Finished):
            return
        world.save(decision.status)
        if survived:
            world.carry_out(decision.step)
        world.others()


def run_disturbed(world: World, data: st.DataObject, most: int, may_go: Callable[[VolumeRestore, Claim], bool]) -> None:
    """Up to so many passes, killed or not; after each nothing, the others' round, a start, or claims deleted.

    `may_go` says which of the VM's claims somebody deletes at such a moment.
    """
    for _ in range(data.draw(st.integers(0, most), label="looks")):
        decision = world.decide()
        if isinstance(decision.step, steps.Finished):
            return
        world.save(decision.status)
        if data.draw(st.booleans(), label="survives the status"):
            world.carry_out(decision.step)
        match data.draw(st.sampled_from(["others", "nothing", "start", "drop claim"]), label="meanwhile"):
            case "others":
                world.others()
            case "start" if world.vm is not None:
                world.vm = replace(world.vm, run_strategy="Always", is_active=True)
            case "drop claim":
                _drop_claims(world, may_go)
            case _:
                pass


def _drop_claims(world: World, may_go: Callable[[VolumeRestore, Claim], bool]) -> None:
    for record in world.restore.status.volumes:
        claim = world.claims.get((SHOP, record.claim_name))
        if claim is not None and may_go(record, claim):
            world.delete_claim(claim.ref)
