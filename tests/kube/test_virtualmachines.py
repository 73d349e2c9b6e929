"""VirtualMachines as the planner sees them: the disks that count, and the guest's freeze state."""

from typing import Any

import pytest

from safehold.kube.client import Cluster
from safehold.kube.kinds import VM, VMI
from safehold.kube.virtualmachines import (
    claims_of,
    disks_of,
    excluded_by_owner,
    is_migrating,
    memory_dumps_of,
    observe_machine,
)
from safehold.plan.backup.facts import DiskFacts


def machine(*volumes: dict[str, Any], statuses: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A VirtualMachine with these volumes, and what KubeVirt says about them."""
    template = {"spec": {"domain": {"devices": {}}, "volumes": list(volumes)}}
    status = {"volumeSnapshotStatuses": statuses} if statuses is not None else {}
    return {"metadata": {"name": "db"}, "spec": {"runStrategy": "Halted", "template": template}, "status": status}


CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "db-data"}}
LISTED = {"safehold.dev/exclude-volumes": " scratch, swap,"}
DISKS: list[tuple[dict[str, Any], DiskFacts | None]] = [
    (CLAIM, DiskFacts(name="data", claim="db-data", snapshottable=True)),
    (
        {"name": "data", "dataVolume": {"name": "db-root"}},
        DiskFacts(name="data", claim="db-root", snapshottable=True),
    ),
    (
        {"name": "data", "persistentVolumeClaim": {"claimName": "hot", "hotpluggable": True}},
        DiskFacts(name="data", claim="hot", snapshottable=True),
    ),
    ({"name": "data", "containerDisk": {"image": "i"}}, None),
    ({"name": "data", "cloudInitNoCloud": {"userData": ""}}, None),
    ({"name": "data", "emptyDisk": {"capacity": "1Gi"}}, None),
    ({"name": "data", "ephemeral": {"persistentVolumeClaim": {"claimName": "base"}}}, None),
    ({"name": "data", "memoryDump": {"claimName": "dump"}}, None),
]


@pytest.mark.parametrize(("volume", "disk"), DISKS, ids=[min(volume) for volume, _ in DISKS])
def test_disks_are_the_volumes_that_outlive_the_run(volume: dict[str, Any], disk: DiskFacts | None) -> None:
    """Claims and DataVolumes count, also hot-plugged ones; what is made anew at each start does not."""
    said = [{"name": "data", "enabled": True}]
    assert list(disks_of(machine(volume, statuses=said))) == ([disk] if disk else [])


def test_a_host_disk_counts_and_cannot_be_captured() -> None:
    """It holds state, so leaving it out would make the backup incomplete without a word."""
    (disk,) = disks_of(machine({"name": "host", "hostDisk": {"path": "/disk.img"}}))
    assert (disk.claim, disk.snapshottable) == (None, False)


def test_kubevirts_word_decides() -> None:
    """Not enabled with its reason; nothing said yet is neither yes nor no."""
    (refused,) = disks_of(machine(CLAIM, statuses=[{"name": "data", "enabled": False, "reason": "no class"}]))
    (unknown,) = disks_of(machine(CLAIM))
    assert (refused.snapshottable, refused.reason) == (False, "no class")
    assert unknown.snapshottable is None


def test_claims_and_memory_dumps_are_told_apart() -> None:
    """KubeVirt snapshots memory dumps too; no restore gives them back."""
    vm = machine(CLAIM, {"name": "dump", "memoryDump": {"claimName": "dump"}})
    assert claims_of(vm) == {"data": "db-data"}
    assert memory_dumps_of(vm) == {"dump"}


@pytest.mark.parametrize(
    ("annotations", "names"),
    [({}, ()), ({"safehold.dev/exclude-volumes": "scratch"}, ("scratch",)), (LISTED, ("scratch", "swap"))],
)
def test_a_vms_owner_leaves_volumes_out_by_an_annotation(annotations: dict[str, str], names: tuple[str, ...]) -> None:
    """Names separated by commas, with or without spaces."""
    assert excluded_by_owner({"metadata": {"annotations": annotations}}) == names


async def test_disks_of_the_instance_alone_and_crashes_are_seen(cluster: Cluster, namespace: str) -> None:
    """A volume that was hot-plugged without the VM's knowledge counts while it runs; so does a failed start."""
    vm = machine(CLAIM)
    vm["metadata"]["namespace"] = namespace
    del vm["status"]
    await cluster.create(VM, vm)
    hot = {"name": "extra", "persistentVolumeClaim": {"claimName": "db-extra", "hotpluggable": True}}
    spec = {"domain": {"devices": {}}, "volumes": [CLAIM, hot, {"name": "init", "cloudInitNoCloud": {"userData": ""}}]}
    await cluster.create(VMI, {"metadata": {"name": "db", "namespace": namespace}, "spec": spec})
    running = await observe_machine(cluster, namespace, "db")
    assert running is not None
    assert (running.unsaved_disks, running.crashed) == (("extra",), False)
    await cluster.merge_patch(VMI, "db", namespace, {"status": {"phase": "Failed"}})
    failure = {"status": {"startFailure": {"consecutiveFailCount": 1}}}
    await cluster.merge_patch(VM, "db", namespace, failure, subresource="status")
    failed = await observe_machine(cluster, namespace, "db")
    assert failed is not None
    assert (failed.unsaved_disks, failed.crashed) == ((), True)


async def test_a_machine_is_observed_with_its_guest(cluster: Cluster, namespace: str) -> None:
    """The freeze state is the VMI's; a halted VM has none."""
    assert await observe_machine(cluster, namespace, "db") is None
    vm = machine(CLAIM)
    vm["metadata"]["namespace"] = namespace
    del vm["status"]
    created = await cluster.create(VM, vm)
    halted = await observe_machine(cluster, namespace, "db")
    assert halted is not None
    assert (halted.uid, halted.frozen, halted.snapshot_in_progress) == (created["metadata"]["uid"], False, None)
    status = {"status": {"snapshotInProgress": "snap"}}
    await cluster.merge_patch(VM, "db", namespace, status, subresource="status")
    vmi = {"metadata": {"name": "db", "namespace": namespace}, "spec": {"domain": {"devices": {}}}}
    await cluster.create(VMI, vmi)
    await cluster.merge_patch(VMI, "db", namespace, {"status": {"fsFreezeStatus": "frozen"}})
    running = await observe_machine(cluster, namespace, "db")
    assert running is not None
    assert (running.frozen, running.snapshot_in_progress) == (True, "snap")


@pytest.mark.parametrize(
    ("state", "migrating"),
    [
        ({}, False),
        ({"startTimestamp": "2026-11-22T14:00:00Z"}, True),
        ({"startTimestamp": "2026-11-22T14:00:00Z", "completed": True}, False),
        ({"startTimestamp": "2026-11-22T14:00:00Z", "failed": True, "completed": True}, False),
    ],
)
def test_a_live_migration_lasts_from_its_start_to_its_end(state: dict[str, Any], migrating: bool) -> None:
    """The state of the last migration stays in the VMI for ever."""
    assert is_migrating({"status": {"migrationState": state}}) is migrating
