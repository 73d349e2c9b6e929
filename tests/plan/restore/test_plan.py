"""The plan of a restore: equal to what is done, silent about nothing in the way, and kept to after a dry run."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.restore.cluster import SERVED
from tests.plan.restore.objects import GIB, NOW, OPERATOR, SHOP, backup, machine_objects, restore
from tests.plan.restore.planned_world import PlannedWorld, named, paths, reasons

from safehold.plan.conditions import is_true
from safehold.plan.restore.plan.surroundings import AddressHolder, PastBackup, PastRestore, Quota, Surroundings
from safehold.plan.storage import ClaimRef


@settings(max_examples=40)
@given(
    in_place=st.booleans(),
    strategy=st.sampled_from(["Always", "Halted", "RerunOnFailure"]),
    claims_gone=st.sets(st.sampled_from(["root", "data"])),
    secret=st.sampled_from([None, "I2Nsb3VkLWNvbmZpZw==", "b3RoZXI="]),
    existing=st.sampled_from(["Keep", "Overwrite"]),
    left=st.sampled_from(["AsBackedUp", "Halted", "Always"]),
    own_snapshots=st.frozensets(st.sampled_from(["root", "data"])),
    has_snapshot_class=st.booleans(),
    safety=st.booleans(),
    dry=st.booleans(),
)
def test_what_is_planned_is_what_is_done(
    in_place: bool,
    strategy: str,
    claims_gone: set[str],
    secret: str | None,
    existing: str,
    left: str,
    own_snapshots: frozenset[str],
    has_snapshot_class: bool,
    safety: bool,
    dry: bool,
) -> None:
    """Over modes and options, after a dry run or not, the plan names every object that is written, and no other."""
    if in_place:
        world = PlannedWorld.with_running_vm(restore(dryRun=dry, safetySnapshot=safety))
        assert world.vm is not None
        runs = strategy != "Halted"
        world.vm = replace(world.vm, run_strategy=strategy, is_active=runs, is_running=runs)
        for name in claims_gone:
            claim = world.claims.pop((SHOP, f"orders-{name}"))
            del world.volumes[claim.volume or ""]
    else:
        world = PlannedWorld(restore("NewVM", runStrategy=left, existingObjects=existing, dryRun=dry))
        if secret is not None:
            found = machine_objects()[1]
            metadata = {**found["metadata"], "uid": "found"}
            world.objects["Secret", "orders-init"] = {**found, "metadata": metadata, "data": {"userdata": secret}}
    world.own_snapshots, world.has_snapshot_class = own_snapshots, has_snapshot_class
    volumes = set(world.volumes)
    plan = world.planned()
    if dry:
        world.run()
        assert world.restore.status.phase == "Planned"
        assert {action for action, *_ in world.deeds()} <= {"Temporary"}
        assert not world.leftovers()
    ended = world.go()
    assert is_true(ended.status.conditions, "Ready"), ended.status
    assert world.deeds() == named(plan)
    assert ended.status.plan is not None
    assert ended.status.plan.hash == plan.hash
    assert paths(ended.status.volumes) == paths(plan.volumes)
    assert len(set(world.volumes) - volumes) == sum(not each.name for each in plan.changes)


def test_a_dry_run_says_what_it_would_take() -> None:
    """Point, consistency, verification, bytes and time are in the plan; nothing is written, and it is Ready."""
    point: dict[str, Any] = {"consistency": {"reached": "Filesystem", "reason": "frozen"}}
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    world.backups = [backup(**point)]
    for volume in world.backups[0].status.volumes:
        object.__setattr__(volume, "bytes_total", GIB)
        object.__setattr__(volume, "engine", "Scan")
    past = [PastRestore(bytes_restored=4 * GIB, transfer_seconds=40.0, total_seconds=52.0)]
    world.around = Surroundings(past=past)
    ended = world.run()
    plan = ended.status.plan
    assert plan is not None
    assert (plan.capture_time, plan.consistency, plan.verified) == (NOW - timedelta(hours=1), "Filesystem", True)
    assert plan.verified_time == plan.capture_time
    assert (plan.bytes_to_write, plan.bytes_to_fetch) == (2 * GIB, 2 * GIB)
    assert plan.estimated_seconds == 20 + 12
    assert "finished restores from ClusterBackupTarget primary (1)" in plan.estimate_basis
    assert is_true(ended.status.conditions, "Ready")
    assert (ended.status.start_time, ended.status.vm, ended.status.volumes) == (None, None, [])


def test_before_the_first_restore_the_speed_is_that_of_backups() -> None:
    """The plan says that it is, and that what comes around the transfer is left out."""
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    for volume in world.backups[0].status.volumes:
        object.__setattr__(volume, "bytes_total", GIB)
    world.around = Surroundings(
        past_backups=[
            PastBackup(bytes_read=GIB // 2, transfer_seconds=4.0),
            PastBackup(bytes_read=GIB // 4, transfer_seconds=2.0),
        ]
    )
    plan = world.planned()
    assert plan.estimated_seconds == 16
    assert "no restore from ClusterBackupTarget primary has been measured yet" in plan.estimate_basis
    assert "backups of the VM's namespace to it (2) ran at 128 MiB a second" in plan.estimate_basis


def test_what_is_not_known_is_not_guessed() -> None:
    """Without a measured restore, or without the size of a disk, there is no time, and the plan says why."""
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    plan = world.planned()
    assert (plan.estimated_seconds, plan.bytes_to_write) == (None, None)
    assert plan.estimate_basis.startswith("unknown: no restore from ClusterBackupTarget primary")
    past = [PastRestore(bytes_restored=GIB, transfer_seconds=1.0, total_seconds=1.0)]
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    world.around = Surroundings(past=past)
    assert world.planned().estimate_basis.startswith("unknown: the size of a disk")


QUOTA = Quota(namespace=SHOP, name="limits", hard={"requests.storage": 5 * GIB}, used={"requests.storage": 4 * GIB})
MAC = "02:00:00:00:00:01"
HOLDER = AddressHolder(namespace="other", name="rival", address=MAC, runs=True)


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ({}, []),
        ({"quotas": [QUOTA]}, [("Blocks", "QuotaExceeded")]),
        ({"quotas": [replace(QUOTA, hard={"requests.storage": 8 * GIB})]}, []),
        ({"quotas": [replace(QUOTA, namespace="elsewhere")]}, []),
        (
            {"quotas": [replace(QUOTA, namespace=OPERATOR, hard={"persistentvolumeclaims": 1}, used={})]},
            [("Blocks", "QuotaExceeded")],
        ),
        (
            {"quotas": [replace(QUOTA, hard={"count/virtualmachines.kubevirt.io": 0}, used={})]},
            [("Blocks", "QuotaExceeded")],
        ),
        ({"addresses": [HOLDER]}, [("Blocks", "AddressInUse")]),
        ({"addresses": [replace(HOLDER, runs=False)]}, [("Warns", "AddressInUse")]),
        ({"served": {"v1": frozenset({"Secret"})}}, [("Blocks", "NotInstalled")]),
        (
            {"served": {"v1": frozenset({"Secret"}), "kubevirt.io/v2": frozenset({"VirtualMachine"})}},
            [("Blocks", "VersionNotServed")],
        ),
        ({"existing": {("Secret", "orders-init"): False}}, []),
        ({"existing": {("Secret", "others"): False}}, [("Warns", "DependencyNotFound")]),
        ({"existing": {("NetworkAttachmentDefinition", "dmz/lan"): False}}, [("Warns", "DependencyNotFound")]),
        ({"existing": {("NetworkAttachmentDefinition", "dmz/lan"): True}}, []),
        ({"existing": {("VirtualMachineInstancetype", "large"): False}}, [("Blocks", "DependencyNotFound")]),
        ({"claim_sets": {"fast": frozenset({("ReadWriteMany", "Block")})}}, [("Warns", "VolumeMismatch")] * 2),
        ({"claim_sets": {"fast": frozenset({("ReadWriteOnce", "Block")})}}, []),
    ],
)
def test_what_is_in_the_way_of_a_new_vm(around: Mapping[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each thing that stops a new VM blocks its plan, each that it can do without is a warning."""
    world = PlannedWorld(restore("NewVM"))
    world.around = Surroundings(**{"served": SERVED, **around})
    assert reasons(world.planned()) == expected


def test_a_new_vm_that_is_left_halted_may_have_the_address_of_another() -> None:
    """What blocks a VM that would be started only warns where it is left Halted."""
    world = PlannedWorld(restore("NewVM", runStrategy="Halted"))
    world.around = Surroundings(served=SERVED, addresses=[HOLDER])
    assert reasons(world.planned()) == [("Warns", "AddressInUse")]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ["VMRuns"]),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "shop:kubevirt.io/VirtualMachine"}},
            ["VMRuns", "GitOwned"],
        ),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, ["VMRuns", "GitOwned"]),
        (
            {
                "labels": {"kustomize.toolkit.fluxcd.io/name": "shop"},
                "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
            },
            ["VMRuns"],
        ),
    ],
)
def test_who_else_changes_a_vm_in_place(metadata: Mapping[str, Any], expected: list[str]) -> None:
    """A VM that runs, and one that a GitOps tool would start again, is told of; nothing of it blocks."""
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    world.around = Surroundings(vm_metadata=metadata)
    assert reasons(world.planned()) == [("Warns", reason) for reason in expected]


def test_a_replaced_claim_counts_for_a_quota_only_as_far_as_it_is_larger() -> None:
    """In place, claims of the same size fit into a quota that is used up."""
    world = PlannedWorld.with_running_vm()
    world.around = Surroundings(quotas=[replace(QUOTA, used={"requests.storage": 5 * GIB})])
    world.run()
    assert is_true(world.restore.status.conditions, "Ready")


@pytest.mark.parametrize("dry", [True, False])
def test_what_blocks_a_restore_is_its_reason_and_nothing_is_touched(dry: bool) -> None:
    """A blocked plan is on record; as a dry run it stays Planned, else it fails; and nothing was written."""
    world = PlannedWorld(restore("NewVM", dryRun=dry))
    world.around = Surroundings(served=SERVED, quotas=[QUOTA])
    ended = world.run()
    assert is_true(ended.status.conditions, "Stalled")
    assert {each.reason for each in ended.status.conditions} == {"QuotaExceeded"}
    assert ended.status.phase == ("Planned" if dry else "Failed")
    assert ended.status.plan is not None
    assert {action for action, *_ in world.deeds()} == {"Temporary"}
    assert not world.leftovers()


def test_a_refusal_is_a_conflict_of_the_plan() -> None:
    """What the admission refuses is in the plan with its own reason."""
    world = PlannedWorld.with_running_vm(restore("NewVM", dryRun=True))
    world.vm_name = "orders-copy"
    assert reasons(world.planned()) == [("Blocks", "VMExists")]


def test_a_refused_restore_is_planned_anew_when_it_is_to_be_carried_out() -> None:
    """A plan that says only why it is refused binds nothing: with the refusal gone the restore goes on."""
    world = PlannedWorld.with_running_vm(restore("NewVM", dryRun=True))
    world.vm_name = "orders-copy"
    refused = world.planned()
    world.run()
    world.vm, world.vm_name = None, "orders"
    ended = world.go()
    assert is_true(ended.status.conditions, "Ready"), ended.status
    assert ended.status.plan is not None
    assert (refused.changes, ended.status.plan.blocking) == ([], [])
    assert world.deeds() >= named(ended.status.plan)


def test_a_refused_restore_that_is_still_refused_fails_with_its_reason() -> None:
    """Not with PlanChanged, which would say nothing."""
    world = PlannedWorld.with_running_vm(restore("NewVM", dryRun=True))
    world.vm_name = "orders-copy"
    world.run()
    ended = world.go()
    assert ended.status.failure is not None
    assert (ended.status.phase, ended.status.failure.reason) == ("Failed", "VMExists")


def test_what_warns_is_named_where_people_look_first() -> None:
    """The condition of a dry run counts its warnings and gives their reasons."""
    ended = PlannedWorld.with_running_vm(restore(dryRun=True)).run()
    assert "planned, with 1 warning in status.plan (VMRuns); set spec.dryRun" in ended.status.conditions[0].message


def test_an_end_holds_for_a_spec_that_is_changed_after_it() -> None:
    """`dryRun` of a failed dry run can still be set to false: nothing happens, and kstatus does not wait for it."""
    world = PlannedWorld(restore(source={"backup": "absent"}, dryRun=True))
    ended = world.run()
    assert ended.status.phase == "Failed"
    metadata = ended.metadata.model_copy(update={"generation": 2})
    world.restore = ended.model_copy(update={"metadata": metadata})
    again = world.go()
    assert again.status.observed_generation == 2
    assert {condition.observed_generation for condition in again.status.conditions} == {2}
    assert (again.status.phase, world.deeds()) == ("Failed", set())


def test_a_blocked_plan_is_carried_out_once_nothing_blocks_it() -> None:
    """Conflicts are no part of what is done, so that they can be solved between dry run and restore."""
    world = PlannedWorld(restore("NewVM", dryRun=True))
    world.around = Surroundings(served=SERVED, quotas=[QUOTA])
    world.run()
    world.around = Surroundings(served=SERVED)
    assert is_true(world.go().status.conditions, "Ready")


@pytest.mark.parametrize(
    ("change", "named_change"),
    [
        ("claim", "Replace PersistentVolumeClaim shop/orders-data is no longer to do"),
        ("volume", "Change PersistentVolume elsewhere was not planned"),
        ("stopped", "Change VirtualMachine shop/orders is no longer to do"),
    ],
)
def test_a_plan_that_would_differ_is_not_carried_out(change: str, named_change: str) -> None:
    """What changed between dry run and restore is named, and nothing is written."""
    world = PlannedWorld.with_running_vm(restore(dryRun=True))
    world.run()
    data = world.claims[SHOP, "orders-data"]
    if change == "claim":
        del world.claims[SHOP, "orders-data"]
    elif change == "volume":
        world.add_volume("elsewhere", ClaimRef(SHOP, "orders-data", data.ref.uid), "old")
        world.claims[SHOP, "orders-data"] = replace(data, volume="elsewhere")
    else:
        assert world.vm is not None
        world.vm = replace(world.vm, run_strategy="Halted")
    before = world.restore.status.plan
    ended = world.go()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "PlanChanged"
    assert named_change in ended.status.failure.message
    assert ended.status.plan == before
    assert not world.deeds()


def test_a_newer_point_does_not_change_a_plan() -> None:
    """The point is pinned by the dry run: what is backed up afterwards is not restored."""
    world = PlannedWorld.with_running_vm(restore(source={"vm": "orders"}, dryRun=True))
    world.run()
    world.backups.append(backup("orders-2", captureTime=NOW))
    ended = world.go()
    assert is_true(ended.status.conditions, "Ready")
    assert ended.status.restore_point == "point-of-orders-1"
