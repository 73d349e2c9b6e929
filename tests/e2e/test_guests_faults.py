"""Guests whose agent is absent, hangs or refuses, that do not run, and storage that does not answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from tests.e2e.guests import DEADLINE, NAMESPACE, Guests
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE, VM_SNAPSHOT, VOLUME_SNAPSHOT
from sandbox.demo.kubectl import condition

VM = "web"
_LONG_SECONDS = 8.0
"""A freeze whose length shows in the status, also where the controller sees its begin and end a second late."""
_INSTANCE = f"/apis/subresources.kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachineinstances/{VM}"


@asynccontextmanager
async def _agent_absent(guests: Guests) -> AsyncIterator[None]:
    async with guests.fault(VM, "agent-absent"):
        await guests.agent(VM, connected=False)
        yield


@asynccontextmanager
async def _paused(guests: Guests) -> AsyncIterator[None]:
    await guests.world.cluster.request("PUT", f"{_INSTANCE}/pause", body={})
    await _prints(guests, "Paused")
    yield
    # KubeVirt refuses it while a snapshot still holds the VM.
    await guests.reach(VIRTUAL_MACHINE, VM, lambda found: "snapshotInProgress" not in found["status"])
    await guests.world.cluster.request("PUT", f"{_INSTANCE}/unpause", body={})
    await _prints(guests, "Running")


@asynccontextmanager
async def _halted(guests: Guests) -> AsyncIterator[None]:
    await guests.world.cluster.patch(VIRTUAL_MACHINE, VM, {"spec": {"runStrategy": "Halted"}}, NAMESPACE)
    await guests.world.until_gone(VIRTUAL_MACHINE_INSTANCE, VM, NAMESPACE)
    yield
    await guests.world.cluster.patch(VIRTUAL_MACHINE, VM, {"spec": {"runStrategy": "Always"}}, NAMESPACE)
    await guests.agent(VM)


_Circumstance = Callable[[Guests], AbstractAsyncContextManager[None]]


async def _prints(guests: Guests, status: str) -> None:
    await guests.reach(VIRTUAL_MACHINE, VM, lambda found: found["status"].get("printableStatus") == status)


@pytest.mark.parametrize(
    ("circumstance", "why", "filesystem"),
    [
        (_agent_absent, "no guest agent is connected", {"clean", "replayed"}),
        (_paused, "the VM was paused", {"clean", "replayed"}),
    ],
)
async def test_point_without_a_freeze_is_crash_consistent_and_says_why(
    guests: Guests, circumstance: _Circumstance, why: str, filesystem: set[str]
) -> None:
    """Demanded Crash: a good point of level Crash. Demanded Filesystem: ConsistencyNotReached, nothing is stored."""
    name = circumstance.__name__.strip("_").replace("_", "-")
    async with circumstance(guests):
        loose, strict = await asyncio.gather(
            guests.backed_up(f"{name}-loose", VM, level="Crash"),
            guests.backed_up(f"{name}-strict", VM),
        )
    assert_refused(strict, "ConsistencyNotReached", why)
    assert "restorePoint" not in strict["status"]
    found = loose["status"]["consistency"]
    assert (found["reached"], "frozenMillis" in found) == ("Crash", False)
    assert why in found["reason"]
    await guests.assert_left_alone(VM)
    for proof in await guests.proofs(loose):
        assert proof.ok, proof
        assert proof.filesystem in filesystem


async def test_a_stopped_guest_satisfies_filesystem_as_offline(guests: Guests) -> None:
    """Nobody writes while it is cut, so nothing weaker than a freeze comes of it; its file system was shut down."""
    async with _halted(guests):
        found = await guests.backed_up("halted", VM)
    assert_ready(found)
    consistency = found["status"]["consistency"]
    assert (consistency["reached"], "frozenMillis" in consistency) == ("Offline", False)
    await guests.assert_left_alone(VM)
    for proof in await guests.proofs(found):
        assert proof.ok, proof
        assert proof.filesystem == "clean"


@pytest.mark.parametrize("fault", ["agent-hangs", "freeze-fails"])
async def test_guest_that_cannot_be_frozen_is_left_unharmed(guests: Guests, fault: str) -> None:
    """At KubeVirt's deadline the backup fails with its words; the guest was never held up, and the next one works."""
    async with guests.fault(VM, fault):
        failed = await guests.backed_up(fault, VM, freezeTimeout=DEADLINE)
        await guests.writes(VM)
    assert_refused(failed, "SnapshotFailed", "deadline")
    assert "restorePoint" not in failed["status"]
    await guests.assert_left_alone(VM)
    assert_ready(await guests.backed_up(f"after-{fault}", VM))


@pytest.mark.parametrize("fault", ["agent-hangs", "freeze-fails"])
async def test_guest_that_cannot_be_frozen_is_cut_without_it(guests: Guests, fault: str) -> None:
    """With Fallback the volumes are cut all the same: a good point of level Crash, which says why it is no more."""
    async with guests.fault(VM, fault):
        found = await guests.backed_up(f"fallback-{fault}", VM, onFailure="Fallback", freezeTimeout=DEADLINE)
        await guests.writes(VM)
    assert_ready(found)
    consistency = found["status"]["consistency"]
    assert (consistency["reached"], consistency["skewMillis"], "frozenMillis" in consistency) == ("Crash", 0, False)
    assert "without a freeze" in consistency["reason"]
    assert condition(found, "ConsistencyReached")["reason"] == "ConsistencyNotReached"
    await guests.assert_left_alone(VM)
    for proof in await guests.proofs(found):
        assert proof.ok, proof
        assert proof.filesystem in {"clean", "replayed"}


async def test_volumes_that_are_cut_one_by_one_say_how_far_apart(guests: Guests) -> None:
    """Two disks without a freeze: both are whole, and the skew between them is in the status."""
    async with guests.fault("orders", "freeze-fails"):
        found = await guests.backed_up("fallback-two-disks", "orders", level="Crash", freezeTimeout=DEADLINE)
    assert_ready(found)
    consistency = found["status"]["consistency"]
    assert consistency["reached"] == "Crash"
    assert 0 <= consistency["skewMillis"] < 120_000
    assert condition(found, "ConsistencyReached")["status"] == "True"
    await guests.assert_left_alone("orders")
    for proof in await guests.proofs(found):
        assert proof.ok, proof


async def test_guest_frozen_by_storage_that_hangs_is_thawed_at_the_deadline(guests: Guests) -> None:
    """Nobody cuts the volumes and no controller is there: the guest writes again, and the next controller says why."""
    with guests.stopped("csi"):
        await guests.begin_backup("hanging", VM, freezeTimeout=DEADLINE)
        await guests.frozen(VM)
        await guests.kill_controller()
        await guests.frozen(VM, holds=False)
        await guests.writes(VM)
        await guests.one(VM_SNAPSHOT, NAMESPACE, lambda found: (found.get("status") or {}).get("phase") == "Failed")
    await guests.start_controller()
    failed = await guests.ended("hanging")
    assert_refused(failed, "SnapshotFailed", "deadline")
    await guests.assert_left_alone(VM, cut_too_late=True)


async def test_freeze_is_measured_where_it_was_watched(guests: Guests) -> None:
    """While storage is slow the guest stays frozen, and the status says for how long, as the guest's host knows it."""
    with guests.stopped("csi"):
        await guests.begin_backup("slow", VM)
        await guests.frozen(VM)
        await guests.one(VOLUME_SNAPSHOT, NAMESPACE, _is_uncut)
        # Much more than what the observer may be late.
        await asyncio.sleep(_LONG_SECONDS)
    backup = await guests.ended("slow")
    assert_ready(backup)
    consistency = backup["status"]["consistency"]
    assert consistency["frozenObservation"] == "Observed"
    assert abs(consistency["frozenMillis"] - guests.last_freeze_millis(VM)) < _LONG_SECONDS * 1000 / 2


def _is_uncut(snapshot: Object) -> bool:
    return not (snapshot.get("status") or {}).get("readyToUse")
