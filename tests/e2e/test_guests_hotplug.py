"""Disks that are plugged into a running guest: one that the VM keeps, and one that only its instance has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE_INSTANCE, VM_SNAPSHOT
from sandbox.guest.inside import guest_exec

VM = "web"
_SUBRESOURCES = f"/apis/subresources.kubevirt.io/v1/namespaces/{NAMESPACE}"


@asynccontextmanager
async def _plugged(guests: Guests, disk: str, resource: str) -> AsyncIterator[None]:
    """While the guest writes to a disk that was added to `virtualmachines`, or `virtualmachineinstances`."""
    await _make_claim(guests, disk)
    source = {"persistentVolumeClaim": {"claimName": disk}}
    body = {"name": disk, "disk": {"disk": {"bus": "virtio"}}, "volumeSource": source}
    await guests.world.cluster.request("PUT", f"{_SUBRESOURCES}/{resource}/{VM}/addvolume", body=body)
    await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, lambda found: _phase(found, disk) == "Ready")
    await guests.writes(VM)
    yield
    await guest_exec(guests.state, NAMESPACE, VM, f"unplug {disk}")
    await guests.world.cluster.request("PUT", f"{_SUBRESOURCES}/{resource}/{VM}/removevolume", body={"name": disk})
    await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, lambda found: _phase(found, disk) is None)
    await guests.world.cluster.delete(PERSISTENT_VOLUME_CLAIM, disk, NAMESPACE)
    await guests.world.until_gone(PERSISTENT_VOLUME_CLAIM, disk, NAMESPACE)


async def _make_claim(guests: Guests, name: str) -> None:
    spec = {
        "storageClassName": "sandbox",
        "volumeMode": "Block",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    await guests.tenant.apply(guests.tenant.manifest("v1", "PersistentVolumeClaim", name, spec))


def _phase(instance: Object, disk: str) -> str | None:
    statuses = instance["status"].get("volumeStatus") or []
    return next((item.get("phase") for item in statuses if item["name"] == disk), None)


async def test_a_disk_that_was_plugged_into_the_vm_is_a_disk_of_the_point(guests: Guests) -> None:
    """It is frozen and cut with the others, and stands where they stand; unplugged, the next point has it no more."""
    async with _plugged(guests, "kept", "virtualmachines"):
        found = await guests.backed_up("plugged", VM)
        assert_ready(found)
        assert found["status"]["consistency"]["reached"] == "Filesystem"
        assert sorted(volume["name"] for volume in found["status"]["volumes"]) == ["disk0", "kept"]
        await guests.assert_left_alone(VM)
        await guests.assert_whole(found)
    after = await guests.backed_up("unplugged", VM)
    assert_ready(after)
    assert [volume["name"] for volume in after["status"]["volumes"]] == ["disk0"]


async def test_a_disk_that_only_the_instance_has_is_refused_by_name(guests: Guests) -> None:
    """No snapshot would hold it, so the guest is not even frozen; once it is unplugged there is a point again."""
    async with _plugged(guests, "passing", "virtualmachineinstances"):
        refused = await guests.backed_up("ephemeral", VM, level="Crash", onFailure="Fallback")
        assert_refused(refused, "NotSnapshottable", "virtctl addvolume --persist")
        assert "has volume passing" in refused["status"]["conditions"][0]["message"]
        assert "restorePoint" not in refused["status"]
        assert await guests.world.cluster.list(VM_SNAPSHOT, NAMESPACE) == []
        await guests.assert_left_alone(VM)
    assert_ready(await guests.backed_up("after-ephemeral", VM))
