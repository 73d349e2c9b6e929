"""The controller is killed again and again in the middle of one restore in place of a running guest."""

from collections.abc import Callable

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_RESTORE
from tests.e2e.patience import PATIENCE_SECONDS
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, Kind
from sandbox.cluster.waiting import wait_until

VM, CLAIM, NAME = "orders", "orders-disk0", "killed"


async def test_restore_converges_however_often_the_controller_is_killed(guests: Guests) -> None:
    """Killed after the fill and after each step of the swap, it ends with the restored state; the old volumes stay."""
    backup = await guests.backed_up("to-return-to", VM)
    assert_ready(backup)
    await guests.writes(VM)
    cluster = guests.world.cluster
    claim = await cluster.get(PERSISTENT_VOLUME_CLAIM, CLAIM, NAMESPACE)
    assert claim is not None
    old, uid = claim["spec"]["volumeName"], claim["metadata"]["uid"]

    async def kill_once(
        kind: Kind, name: str, reached: Callable[[Object | None], bool], *, at_the_end: bool = False
    ) -> Object:
        """Kill the controller as soon as the state is reached; returns the VMRestore, unfinished but for the end."""
        namespace = NAMESPACE if kind.namespaced else None
        await wait_until(cluster, kind, name, namespace, reached=reached, timeout_seconds=PATIENCE_SECONDS)
        await guests.kill_controller()
        found = await cluster.get(VM_RESTORE, NAME, NAMESPACE)
        assert found is not None
        ended = "completionTime" in found["status"]
        assert at_the_end or not ended, "the restore ended before the controller could be killed"
        await guests.start_controller()
        return found

    await guests.tenant.apply(guests.tenant.restore(NAME, {"backup": "to-return-to"}))
    restore = await kill_once(VM_RESTORE, NAME, _all_volumes("Verified", "HandingOver"))
    await kill_once(PERSISTENT_VOLUME, old, lambda pv: _labels(pv).get("safehold.dev/undo-of") is not None)
    await kill_once(PERSISTENT_VOLUME_CLAIM, CLAIM, lambda pvc: pvc is None or pvc["metadata"]["uid"] != uid)
    new = restore["status"]["volumes"][0]["persistentVolume"]
    await kill_once(PERSISTENT_VOLUME, new, lambda pv: _claimant(pv) == (NAMESPACE, CLAIM), at_the_end=True)
    await kill_once(VM_RESTORE, NAME, _all_volumes("Done"), at_the_end=True)

    assert_ready(await guests.restored(NAME))
    await guests.assert_runs_from(VM, backup)
    await guests.assert_left_alone(VM)
    undo = f"safehold.dev/undo-of={restore['metadata']['uid']}"
    kept = await cluster.list(PERSISTENT_VOLUME, labels=undo)
    assert old in {volume["metadata"]["name"] for volume in kept}
    assert {(volume["spec"]["persistentVolumeReclaimPolicy"], volume["status"]["phase"]) for volume in kept} == {
        ("Retain", "Released")
    }
    assert len(kept) == len(backup["status"]["volumes"])


async def test_backup_after_a_restore_is_right(guests: Guests) -> None:
    """The volumes are others than those of the points before, and the new point is of what the guest writes now."""
    backup = await guests.backed_up("after-restore", VM)
    assert_ready(backup)
    await guests.assert_whole(backup)


def _all_volumes(*steps: str) -> Callable[[Object | None], bool]:
    def reached(restore: Object | None) -> bool:
        volumes = ((restore or {}).get("status") or {}).get("volumes") or []
        return bool(volumes) and all(volume.get("step") in steps for volume in volumes)

    return reached


def _labels(found: Object | None) -> dict[str, str]:
    return (found or {}).get("metadata", {}).get("labels") or {}


def _claimant(volume: Object | None) -> tuple[str, str] | None:
    claim = (volume or {}).get("spec", {}).get("claimRef")
    return (claim["namespace"], claim["name"]) if claim else None
