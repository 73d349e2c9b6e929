"""The guest's memory in a restore point: a real dump of a real guest."""

import mmap
from pathlib import Path

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.restored_disks import Disks
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE
from sandbox.guest.inside import guest_exec

VM = "web"
DUMP = "safehold-memory-dump"
_ELF = b"\x7fELF"


def _holds(dump: Path, text: bytes) -> bool:
    with dump.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[:4] == _ELF and content.find(text) >= 0


async def test_what_a_process_keeps_in_memory_is_in_the_dump_of_the_point(guests: Guests, tmp_path: Path) -> None:
    """The dump is an ELF core with the marker; the disks are whole, a restore leaves the dump out, nothing stays."""
    # The marker's halves meet in the guest's memory only: no file, argument or cache of this test has the whole of it.
    await guest_exec(
        guests.state, NAMESPACE, VM, "A=kept-in-; export M=${A}memory-only-4711; sleep 3600 >/dev/null 2>&1 &"
    )
    await guests.tenant.apply(guests.tenant.backup("memory", VM, consistency={"level": "Filesystem"}, memoryDump=True))
    backup = await guests.world.ended(VM_BACKUP, "memory", NAMESPACE)
    assert_ready(backup)
    status = backup["status"]
    assert status["memoryDump"]["phase"] == "Stored", status["memoryDump"]
    assert {volume["name"]: volume["role"] for volume in status["volumes"]} == {"disk0": "Disk", DUMP: "MemoryDump"}
    dump = tmp_path / "memory.elf"
    await Disks(guests.world, tmp_path).restore(backup, DUMP, dump)
    assert _holds(dump, b"M=kept-in-memory-only-4711")
    await guests.assert_left_alone(VM)
    machine = await guests.world.cluster.get(VIRTUAL_MACHINE, VM, NAMESPACE)
    assert machine is not None
    assert "memoryDumpRequest" not in machine["status"]
    assert [volume["name"] for volume in machine["spec"]["template"]["spec"]["volumes"]] == ["disk0"]

    await guests.tenant.apply(guests.tenant.restore("memory-copy", {"backup": "memory"}, "copy", runStrategy="Halted"))
    restored = await guests.restored("memory-copy")
    assert_ready(restored)
    assert [volume["name"] for volume in restored["status"]["volumes"]] == ["disk0"]
    await guests.world.cluster.delete(VIRTUAL_MACHINE, "copy", NAMESPACE)
    for volume in restored["status"]["volumes"]:
        await guests.world.cluster.delete(PERSISTENT_VOLUME_CLAIM, volume["claimName"], NAMESPACE)


async def test_a_dump_that_kubevirt_refuses_fails_alone(guests: Guests) -> None:
    """A VM that has a dump of its own keeps it; the backup of its disks succeeds and says why it holds no memory."""
    cluster = guests.world.cluster
    claim = guests.tenant.manifest(
        "v1",
        "PersistentVolumeClaim",
        "own-dump",
        {
            "storageClassName": "sandbox",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    )
    await guests.world.apply(claim)
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachines/{VM}"
    await cluster.request("PUT", f"{path}/memorydump", body={"claimName": "own-dump"})
    await guests.reach(
        VIRTUAL_MACHINE, VM, lambda vm: (vm["status"].get("memoryDumpRequest") or {}).get("phase") == "Completed"
    )
    await guests.tenant.apply(guests.tenant.backup("own-dump", VM, memoryDump=True))
    backup = await guests.ended("own-dump")
    assert_ready(backup)
    dump = backup["status"]["memoryDump"]
    assert (dump["phase"], dump["reason"]) == ("Failed", "MemoryDumpFailed")
    assert "virtctl memory-dump remove" in dump["message"]
    assert [volume["name"] for volume in backup["status"]["volumes"]] == ["disk0"]
    machine = await cluster.get(VIRTUAL_MACHINE, VM, NAMESPACE)
    assert machine is not None
    assert machine["status"]["memoryDumpRequest"]["claimName"] == "own-dump"
    await cluster.request("PUT", f"{path}/removememorydump", body={})
    await guests.reach(VIRTUAL_MACHINE, VM, lambda vm: "memoryDumpRequest" not in vm["status"])
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "own-dump", NAMESPACE)
    await guests.assert_left_alone(VM)
