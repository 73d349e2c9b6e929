"""Attacks on a snapshot's objects: whatever a tenant rewrites, no handle of another volume is recorded."""

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.backup.objects import new_backup
from tests.plan.backup.world import World

from safehold.api.capture import SnapshotHandle
from safehold.plan.backup.capture_facts import CapturedVolume, CaptureFacts
from safehold.plan.backup.facts import DiskFacts
from safehold.plan.backup.trust import refuse_capture, trusted_handle
from safehold.plan.machine_state import STATE_VOLUME
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


def cut() -> tuple[World, CaptureFacts]:
    """A world in which the snapshot was just cut, and what it captured."""
    world = World(new_backup())
    world.take_snapshot()
    world.snapshot = 2
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    assert snapshot.capture is not None
    return world, snapshot.capture


def handle_of(volume: CapturedVolume) -> SnapshotHandle | Refusal:
    """The record that would be made of it."""
    return trusted_handle(volume, capture_uid="capture-uid", namespace="shop", backup_uid="backup-uid")


def test_a_snapshot_whose_objects_fit_is_recorded() -> None:
    """The record holds what the content says, and deterministic names for the pair and the claim."""
    _, capture = cut()
    handle = handle_of(capture.volumes[0])
    assert isinstance(handle, SnapshotHandle)
    assert (handle.snapshot_handle, handle.driver) == ("physical-data", "csi.example")
    assert handle.original_deletion_policy == "Delete"
    assert handle == handle_of(capture.volumes[0])


FORGED_SNAPSHOTS: list[tuple[dict[str, Any], str]] = [
    ({"content": "content-of-somebody-else"}, "is bound to"),
    ({"claim": "other-claim"}, "is of claim"),
    ({"claim": None}, "is of claim"),
    ({"owner_uid": None}, "does not belong"),
    ({"owner_uid": "another-capture"}, "does not belong"),
    ({"uid": "re-created"}, "does not name"),
]
FORGED_CONTENTS: list[tuple[dict[str, Any], str]] = [
    ({"snapshot_namespace": "other-tenant"}, "does not name"),
    ({"snapshot_name": "other"}, "does not name"),
    ({"snapshot_uid": "other"}, "does not name"),
    ({"snapshot_uid": None}, "does not name"),
    ({"driver": "other.driver"}, "driver"),
    ({"source_volume_handle": "volume-of-somebody-else"}, "of another volume"),
    ({"source_volume_handle": None}, "of another volume"),
    ({"source_mode": "Filesystem"}, "of mode"),
    ({"handle": None}, "no handle"),
]
FORGED_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"uid": "re-created"}, "is not the one that was cut"),
    ({"volume_handle": "another"}, "of another volume"),
]
FORGERIES = [
    *(("snapshot", *forgery) for forgery in FORGED_SNAPSHOTS),
    *(("content", *forgery) for forgery in FORGED_CONTENTS),
    *(("claim", *forgery) for forgery in FORGED_CLAIMS),
]


@pytest.mark.parametrize(("part", "changes", "said"), FORGERIES)
def test_a_forged_part_is_not_trusted(part: str, changes: dict[str, Any], said: str) -> None:
    """Each field that could lead to another volume is compared; the sentence names what does not fit."""
    _, capture = cut()
    volume = capture.volumes[0]
    forged = replace(volume, **{part: replace(getattr(volume, part), **changes)})
    refusal = handle_of(forged)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.SNAPSHOT_NOT_TRUSTED
    assert said in refusal.message


@pytest.mark.parametrize("part", ["snapshot", "content", "claim"])
def test_a_missing_part_is_not_trusted(part: str) -> None:
    """Without claim, snapshot or content there is nothing to compare, so nothing is read."""
    _, capture = cut()
    missing: dict[str, Any] = {part: None}
    refusal = handle_of(replace(capture.volumes[0], **missing))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.SNAPSHOT_NOT_TRUSTED


@pytest.mark.parametrize("name", ["../etc", "a/b", "", "Upper", "x" * 64, "-a"])
def test_a_volume_name_never_becomes_a_foreign_path(name: str) -> None:
    """Names that KubeVirt would not accept are refused, since the name is part of a path in the worker."""
    _, capture = cut()
    refusal = handle_of(replace(capture.volumes[0], name=name))
    assert isinstance(refusal, Refusal)
    assert "volume name" in refusal.message


def test_a_capture_of_the_vm_is_accepted() -> None:
    """The disks of the VM and of the capture are the same, and the uid fits."""
    world, capture = cut()
    assert refuse_capture(capture, world.machine(), "vm-uid") is None


def test_a_capture_of_another_vm_is_refused() -> None:
    """A VM that was deleted and created again under its name is another VM."""
    world, capture = cut()
    for refusal in (
        refuse_capture(replace(capture, vm_uid="old-uid"), world.machine(), "vm-uid"),
        refuse_capture(capture, replace(world.machine(), uid="new-uid"), "vm-uid"),
    ):
        assert refusal is not None
        assert refusal.reason == Reason.SNAPSHOT_NOT_TRUSTED


def test_a_volume_that_is_not_the_vms_is_refused() -> None:
    """A forged content that names a claim which the VM does not have is not read."""
    world, capture = cut()
    forged = replace(capture.volumes[0], claim_name="claim-of-somebody-else")
    refusal = refuse_capture(replace(capture, volumes=(forged, capture.volumes[1])), world.machine(), "vm-uid")
    assert refusal is not None
    assert refusal.reason == Reason.SNAPSHOT_NOT_TRUSTED


def test_a_volume_that_was_left_out_fails_the_run() -> None:
    """A snapshot without one of the VM's disks is never silently incomplete."""
    world, capture = cut()
    refusal = refuse_capture(replace(capture, volumes=capture.volumes[:1]), world.machine(), "vm-uid")
    assert refusal is not None
    assert refusal.reason == Reason.SNAPSHOT_FAILED
    assert "logs" in refusal.message


def test_disks_that_changed_meanwhile_are_refused() -> None:
    """A disk added between the manifest and the cut makes both differ: the run fails and can be repeated."""
    world, capture = cut()
    disks = (*world.machine().disks, DiskFacts(name="new", claim="new", snapshottable=True))
    refusal = refuse_capture(capture, replace(world.machine(), disks=disks), "vm-uid")
    assert refusal is not None
    assert refusal.reason == Reason.SNAPSHOT_NOT_TRUSTED


def test_tpm_and_efi_state_that_was_left_out_fails_the_run() -> None:
    """A VM with persistent TPM or EFI state is not backed up without it."""
    world, capture = cut()
    state = DiskFacts(name=STATE_VOLUME, claim="persistent-state-for-db", snapshottable=True)
    machine = replace(world.machine(), own_state=("TPM",), disks=(*world.machine().disks, state))
    recorded = replace(capture, disks={**capture.disks, STATE_VOLUME: "persistent-state-for-db"})
    refusal = refuse_capture(recorded, machine, "vm-uid")
    assert refusal is not None
    assert refusal.reason == Reason.SNAPSHOT_FAILED
    held = replace(capture.volumes[0], name=STATE_VOLUME, claim_name="persistent-state-for-db")
    assert refuse_capture(replace(recorded, volumes=(*capture.volumes, held)), machine, "vm-uid") is None
