"""Real guests whose freeze ends before the cut: by the limit of VSS, a thaw, a restart, or storage that hangs."""

from collections.abc import Awaitable, Callable

import pytest
from tests.e2e.guests import DEADLINE, NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE, VM_SNAPSHOT, VOLUME_SNAPSHOT
from sandbox.demo.kubectl import condition

VM = "web"
_SUBRESOURCES = f"/apis/subresources.kubevirt.io/v1/namespaces/{NAMESPACE}"


async def _begin_and_freeze(guests: Guests, name: str, **consistency: str) -> None:
    """The guest is frozen for the backup, and all that is missing is the storage's cut."""
    await guests.begin_backup(name, VM, **consistency)
    await guests.frozen(VM)
    await guests.one(VOLUME_SNAPSHOT, NAMESPACE, lambda found: not (found.get("status") or {}).get("readyToUse"))


@pytest.mark.parametrize("on_failure", ["Fallback", "Fail"])
async def test_a_guest_that_lets_go_by_itself_is_captured_as_by_a_crash(guests: Guests, on_failure: str) -> None:
    """The limit of VSS: KubeVirt keeps the snapshot and says QuiesceTimeout; whether that is a point is onFailure's."""
    name = f"vss-{on_failure.lower()}"
    async with guests.fault(VM, "vss-limit=2"):
        with guests.stopped("csi"):
            await _begin_and_freeze(guests, name, onFailure=on_failure)
            await guests.writes(VM)
        found = await guests.ended(name)
    consistency = found["status"]["consistency"]
    assert "QuiesceTimeout" in consistency["indications"]
    assert (consistency["reached"], "frozenMillis" in consistency) == ("Crash", False)
    if on_failure == "Fail":
        assert_refused(found, "ConsistencyNotReached", "thawed by itself")
        assert "restorePoint" not in found["status"]
        await guests.assert_left_alone(VM)
        return
    assert_ready(found)
    assert condition(found, "ConsistencyReached")["status"] == "False"
    await _assert_good_point(guests, found)


async def _thaw(guests: Guests) -> None:
    """As a hook of another backup does, or a person."""
    await guests.world.cluster.request("PUT", f"{_SUBRESOURCES}/virtualmachineinstances/{VM}/unfreeze")
    await guests.frozen(VM, holds=False)
    await guests.writes(VM)


async def _restart(guests: Guests) -> None:
    """The guest powers off and boots again, and writes all the while."""
    before = await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, bool)
    await guests.world.cluster.request("PUT", f"{_SUBRESOURCES}/virtualmachines/{VM}/restart", body={})
    await guests.reach(
        VIRTUAL_MACHINE_INSTANCE, VM, lambda found: found["metadata"]["uid"] != before["metadata"]["uid"]
    )
    await guests.agent(VM)
    await guests.writes(VM)


@pytest.mark.parametrize("happen", [_thaw, _restart])
async def test_a_guest_that_was_thawed_before_its_cut_is_captured_as_by_a_crash(
    guests: Guests, happen: Callable[[Guests], Awaitable[None]]
) -> None:
    """KubeVirt indicates GuestAgent and nothing more; the backup has seen the thaw, and does not repeat the claim."""
    name = f"spoiled{happen.__name__.replace('_', '-')}"
    with guests.stopped("csi"):
        await _begin_and_freeze(guests, name, onFailure="Fallback")
        await happen(guests)
    found = await guests.ended(name)
    assert_ready(found)
    consistency = found["status"]["consistency"]
    assert sorted(consistency["indications"]) == ["GuestAgent", "Online"]
    assert (consistency["reached"], "frozenMillis" in consistency) == ("Crash", False)
    assert "thawed before all volumes were cut" in consistency["reason"]
    await guests.agent(VM)
    await _assert_good_point(guests, found)


async def test_a_snapshot_that_kubevirt_gives_up_is_taken_without_it(guests: Guests) -> None:
    """Storage hangs past the deadline: KubeVirt thaws and gives up; when storage is back, the volumes are cut."""
    with guests.stopped("csi"):
        await _begin_and_freeze(guests, "late", onFailure="Fallback", freezeTimeout=DEADLINE)
        await guests.frozen(VM, holds=False)
        await guests.one(VM_SNAPSHOT, NAMESPACE, lambda found: (found.get("status") or {}).get("phase") == "Failed")
        await guests.reach(VM_BACKUP, "late", lambda found: "fallback" in (found.get("status") or {}))
    found = await guests.ended("late")
    assert_ready(found)
    consistency = found["status"]["consistency"]
    assert (consistency["reached"], "deadline" in consistency["reason"]) == ("Crash", True)
    await _assert_good_point(guests, found, cut_too_late=True)


async def _assert_good_point(guests: Guests, backup: Object, *, cut_too_late: bool = False) -> None:
    """What was cut without a freeze is as after a power cut: the journal may have to be replayed, nothing is lost."""
    await guests.assert_left_alone(VM, cut_too_late=cut_too_late)
    for proof in await guests.proofs(backup):
        assert proof.ok, proof
        assert proof.filesystem in {"clean", "replayed"}
