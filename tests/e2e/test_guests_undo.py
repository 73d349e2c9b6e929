"""A running guest is restored in place by what differs, and that is undone: its data is checked by the guest itself."""

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_RESTORE
from tests.e2e.verdicts import assert_ready

from sandbox.demo.guests import proofs
from sandbox.guest.inside import guest_check, guest_counters

VM = "web"


async def test_a_guest_goes_back_by_the_difference_and_returns(guests: Guests) -> None:
    """Restored, it boots from the point; undone, from what it had written last, with nothing lost and nothing torn."""
    first = await guests.backed_up("to-go-back-to", VM)
    assert_ready(first)
    await guests.writes(VM)
    # The snapshot of an earlier point is not kept, so that the volume begins with what it holds now.
    assert_ready(await guests.backed_up("the-next", VM))
    await guests.writes(VM)
    written = guest_counters(guests.state, NAMESPACE, VM)

    source = {"backup": "to-go-back-to"}
    await guests.tenant.apply(guests.tenant.restore("by-delta", source))
    restored = await guests.restored("by-delta")
    assert_ready(restored)
    (volume,) = restored["status"]["volumes"]
    assert volume["path"] == "Delta", volume
    assert 0 < volume["bytesFetched"] < volume["bytesRestored"] / 20, volume
    await guests.assert_runs_from(VM, first)

    await guests.tenant.apply(guests.tenant.restore("by-delta", source, undo=True))
    undone = await guests.reach(VM_RESTORE, "by-delta", lambda found: "undoEndTime" in found["status"])
    assert undone["status"]["phase"] == "Undone", undone["status"]
    await guests.agent(VM)
    for proof in proofs((await guest_check(guests.state, NAMESPACE, VM, "boot")).values()):
        assert proof.ok, proof
        assert proof.counter >= written[proof.disk], proof
    await guests.assert_left_alone(VM)
