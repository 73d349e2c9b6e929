"""The capture by KubeVirt's own backup: when it is asked for, what it must be, and what takes its place."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.pull.objects import (
    INSTANCE,
    MACHINE,
    READY,
    TRACKER,
    after,
    begun,
    claim,
    decide,
    facts,
    name_of,
    pulling,
    served,
)

from safehold.plan.backup.facts import DiskFacts
from safehold.plan.backup.pull.facts import PullFacts
from safehold.plan.backup.pull.steps import StartPull
from safehold.plan.backup.reconcile import after_refused_step
from safehold.plan.backup.stages import stage_of
from safehold.plan.backup.steps import CaptureMachine, Delete, LabelBackup, TakeSnapshot
from safehold.plan.machine_state import STATE_VOLUME
from safehold.plan.names import pull_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

NOT_TO_BE_USED: list[tuple[PullFacts, str]] = [
    (PullFacts(enabled=False), "engines.kubevirt"),
    (PullFacts(enabled=True), "does not serve VirtualMachineBackup"),
    (replace(READY, instance=None), "does not run"),
    (replace(READY, instance=replace(INSTANCE, running=False)), "does not run"),
    (replace(READY, instance=replace(INSTANCE, tracking="")), "label"),
    (replace(READY, instance=replace(INSTANCE, tracking="PendingRestart")), "next restart"),
    (replace(READY, instance=replace(INSTANCE, tracking="IncrementalBackupFeatureGateDisabled")), "feature gate"),
    (replace(READY, instance=replace(INSTANCE, tracking="Unheard")), "Unheard"),
    (replace(READY, unreadable_claims=("logs",)), "logs"),
]


@pytest.mark.parametrize(("pull", "said"), NOT_TO_BE_USED)
def test_snapshot_takes_the_place_of_what_cannot_be_used(pull: PullFacts, said: str) -> None:
    """The run begins with a snapshot, and its status says why; without another engine it fails with that sentence."""
    decision = decide(pulling(), facts(pull))
    assert decision.status.snapshot_name is not None
    assert decision.status.pull is not None
    assert said in (decision.status.pull.refusal or "")
    alone = decide(pulling("KubeVirt"), facts(pull))
    assert alone.status.failure is not None
    assert alone.status.failure.reason == Reason.ENGINE_NOT_AVAILABLE
    assert said in alone.status.failure.message


def test_memory_dump_needs_a_snapshot() -> None:
    """A run that also wants the memory does not pull."""
    decision = decide(pulling(memory_dump=True), facts())
    assert decision.status.pull is not None
    assert "memory dump" in (decision.status.pull.refusal or "")


def test_disk_without_snapshot_class_can_be_pulled() -> None:
    """KubeVirt's backup needs no CSI snapshots."""
    unable = replace(MACHINE, disks=tuple(replace(disk, snapshottable=False) for disk in MACHINE.disks))
    decision = decide(pulling("KubeVirt"), facts(machine=unable))
    assert decision.status.failure is None
    assert decision.status.pull is not None
    assert decision.status.pull.refusal is None


def test_vm_with_own_state_is_captured_with_a_snapshot() -> None:
    """TPM and EFI state is in no backup of KubeVirt's, so one takes a snapshot of it together with the disks."""
    state = DiskFacts(name=STATE_VOLUME, claim="persistent-state-for-db", snapshottable=True)
    machine = replace(MACHINE, own_state=("TPM",), disks=(*MACHINE.disks, state))
    decision = decide(pulling(), facts(machine=machine))
    assert decision.status.snapshot_name is not None
    assert decision.status.pull is not None
    assert "persistent TPM state" in (decision.status.pull.refusal or "")


def test_manifest_is_read_right_before_the_backup_is_asked_for() -> None:
    """In one look, incremental to the committed checkpoint; the run is found by its VM from then on."""
    backup = pulling()
    backup = after(backup, decide(backup, facts()))
    decision = decide(backup, facts())
    label, kept, start = decision.steps
    assert isinstance(label, LabelBackup)
    assert isinstance(kept, CaptureMachine)
    assert isinstance(start, StartPull)
    assert (start.name, start.vm_uid, start.force_full) == (pull_name("db-1", "backup-uid"), "vm-uid", False)
    assert start.scratch_bytes > 2 << 30
    assert decision.status.pull is not None
    assert decision.status.pull.instance_uid == "instance"


FULL_AGAIN = [
    ({"latest": "of-a-run-that-nobody-read"}, "no complete restore point"),
    ({"committed": None}, "no complete restore point"),
    ({"latest": None}, "no checkpoint"),
    ({"committed_instance": "before-the-restart"}, "restarted"),
    ({"redefining": True}, "finding its checkpoint again"),
    ({"latest_disks": ("data",)}, "logs is new"),
]


@pytest.mark.parametrize(("tracker", "said"), FULL_AGAIN)
def test_full_backup_is_asked_for_whenever_the_last_checkpoint_is_in_doubt(tracker: dict[str, Any], said: str) -> None:
    """Every doubt leads to a full backup, with its reason in the status."""
    backup = pulling()
    backup = after(backup, decide(backup, facts()))
    decision = decide(backup, facts(replace(READY, tracker=replace(TRACKER, **tracker))))
    start = decision.steps[-1]
    assert isinstance(start, StartPull)
    assert start.force_full
    assert decision.status.pull is not None
    assert said in (decision.status.pull.full_reason or "")


@pytest.mark.parametrize(
    ("pull", "machine", "said"),
    [
        (replace(READY, rivals=("theirs",)), MACHINE, "theirs"),
        (replace(READY, instance=replace(INSTANCE, backup_in_progress="theirs")), MACHINE, "theirs"),
        (READY, replace(MACHINE, snapshot_in_progress="snap"), "snap"),
        (READY, replace(MACHINE, migrating=True), "migrating"),
    ],
)
def test_one_backup_of_a_vm_at_a_time(pull: PullFacts, machine: Any, said: str) -> None:
    """Whatever else is at the VM is waited for; after the timeout a snapshot is taken."""
    backup = pulling()
    backup = after(backup, decide(backup, facts()))
    waiting = decide(backup, facts(pull, machine=machine))
    assert waiting.steps == ()
    assert said in waiting.status.conditions[0].message
    late = decide(backup, facts(pull, machine=machine), later=timedelta(hours=1))
    assert late.status.pull is not None
    assert said in (late.status.pull.refusal or "")


def test_served_backup_is_accepted() -> None:
    """What KubeVirt serves becomes the run's capture: checkpoint, base, consistency, time and volumes."""
    backup = begun()
    decision = decide(backup, facts(replace(READY, backup=served(name_of(backup)))))
    status = decision.status
    assert status.pull is not None
    assert status.pull.checkpoint == served(name_of(backup)).checkpoint
    assert status.pull.base == "earlier-checkpoint"
    assert status.consistency is not None
    assert status.consistency.reached == "Filesystem"
    assert [volume.name for volume in status.volumes] == ["data", "logs"]
    assert stage_of(after(backup, decision)) == "Preparing"


def test_full_backup_has_no_base() -> None:
    """Whatever the tracker says."""
    backup = begun()
    decision = decide(backup, facts(replace(READY, backup=served(name_of(backup), incremental=False))))
    assert decision.status.pull is not None
    assert decision.status.pull.base is None


def test_guest_that_could_not_be_frozen_gives_a_crash_consistent_point() -> None:
    """KubeVirt backs it up all the same, so the level is what it says, and the demand decides."""
    backup = begun()
    unfrozen = served(name_of(backup), quiesced=False, quiesce_word="QuiesceFailed", quiesce_message="no agent")
    decision = decide(backup, facts(replace(READY, backup=unfrozen)))
    assert decision.status.consistency is not None
    assert (decision.status.consistency.reached, decision.status.consistency.reason) == ("Crash", "no agent")


TROUBLES: list[tuple[dict[str, Any], str]] = [
    ({"owner_uid": "another"}, "not the run's own"),
    ({"state": "Failed", "message": "SourceLost"}, "SourceLost"),
    ({"state": "Complete"}, "ended before it was read"),
    ({"deleting": True}, "ended before it was read"),
    ({"checkpoint": "somebody-elses-checkpoint"}, "mixed it up"),
    ({"checkpoint": ""}, "names no checkpoint"),
    ({"disks": ("data",)}, "does not serve the VM's disks"),
    ({"served": {}}, "does not serve the VM's disks"),
]


@pytest.mark.parametrize(("changes", "said"), TROUBLES)
def test_backup_in_trouble_is_taken_back_before_a_snapshot(changes: dict[str, Any], said: str) -> None:
    """The reason is recorded, KubeVirt's backup deleted if it is ours, and only then the snapshot is taken."""
    backup = begun()
    trouble = served(name_of(backup), **changes)
    decision = decide(backup, facts(replace(READY, backup=trouble)))
    assert decision.status.pull is not None
    assert said in (decision.status.pull.refusal or "")
    backup = after(backup, decision)
    back = decide(backup, facts(replace(READY, backup=trouble))).steps
    ours = trouble.owner_uid == "backup-uid"
    assert any(isinstance(step, Delete) and step.uid == "pull-uid" for step in back) == (ours and not trouble.deleting)
    assert any(isinstance(step, TakeSnapshot) for step in back) == (not ours)
    gone = decide(backup, facts(READY)).steps
    assert any(isinstance(step, TakeSnapshot) for step in gone)


@pytest.mark.parametrize(
    ("changes", "later", "said"),
    [
        ({"state": "Waiting", "message": "PVC is missing"}, timedelta(minutes=11), "PVC is missing"),
        ({"state": "Waiting"}, timedelta(minutes=11), "says nothing"),
    ],
)
def test_backup_that_never_begins_is_given_up(changes: dict[str, Any], later: timedelta, said: str) -> None:
    """KubeVirt itself would wait for ever, and freeze the guest again and again."""
    backup = begun()
    waiting = served(name_of(backup), **changes)
    decision = decide(backup, facts(replace(READY, backup=waiting)), later=timedelta(minutes=5))
    assert decision.status.pull is not None
    assert decision.status.pull.refusal is None
    decision = decide(backup, facts(replace(READY, backup=waiting)), later=later)
    assert decision.status.pull is not None
    assert said in (decision.status.pull.refusal or "")


def test_restarted_guest_ends_the_pull() -> None:
    """The instance that is there is not the one that was asked."""
    backup = begun()
    other = replace(READY, instance=replace(INSTANCE, uid="another"), backup=served(name_of(backup)))
    decision = decide(backup, facts(other))
    assert decision.status.pull is not None
    assert "restarted" in (decision.status.pull.refusal or "")


def test_swapped_claim_is_not_read() -> None:
    """The disks that KubeVirt serves must be those of the VM's claims."""
    backup = begun()
    swapped = replace(READY, backup=served(name_of(backup)), claims={**READY.claims, "logs": claim("other")})
    decision = decide(backup, facts(swapped))
    assert decision.status.pull is not None
    assert "does not serve the VM's disks" in (decision.status.pull.refusal or "")


def test_refused_step_leads_to_a_snapshot() -> None:
    """A quota that has no room for the scratch claim is no failure where another engine is named."""
    backup = pulling()
    backup = after(backup, decide(backup, facts()))
    decision = decide(backup, facts())
    refusal = Refusal(Reason.FORBIDDEN, "exceeded quota")
    status = after_refused_step(backup, decision.status, decision.steps[-1], refusal)
    assert status.failure is None
    assert status.pull is not None
    assert "exceeded quota" in (status.pull.refusal or "")
    alone = after_refused_step(pulling("KubeVirt"), decision.status, decision.steps[-1], refusal)
    assert alone.failure is not None
    assert alone.failure.reason == Reason.ENGINE_NOT_AVAILABLE
