"""Whether a snapshot's objects may be believed.

A namespace's users can change the VolumeSnapshot, and create ones that point at contents of others. What cannot be
forged is the VolumeSnapshotContent, which is cluster-wide; so both must name each other, and the volume that was cut
must be the one that the VM's own claim is bound to.
"""

import re

from safehold.api.capture import SnapshotHandle
from safehold.plan.backup.capture_facts import (
    CapturedVolume,
    CaptureFacts,
    ClaimFacts,
    ContentFacts,
    VolumeSnapshotFacts,
)
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.names import pair_name, source_claim_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""KubeVirt's own rule for volume names; the name becomes part of a path in the worker."""


def refuse_capture(capture: CaptureFacts, machine: MachineFacts, vm_uid: str) -> Refusal | None:
    """Check that the snapshot is of this very VM, and of the disks that the VM has."""
    if machine.uid != vm_uid or capture.vm_uid != vm_uid:
        return _distrust("the VirtualMachineSnapshot is of another VirtualMachine than the one that was looked up")
    wanted = {disk.name: disk.claim for disk in machine.disks if disk.claim}
    captured = {name: claim for name, claim in capture.disks.items() if name in wanted}
    if captured != wanted:
        return _distrust("the VM's volumes are not those of the snapshot: they were changed while it was taken")
    held = {volume.name: volume.claim_name for volume in capture.volumes}
    for name, claim in held.items():
        if name not in wanted or wanted[name] != claim:
            return _distrust(f"the snapshot has volume {name} of claim {claim}, which is not the VM's")
    # KubeVirt indicates PartialSnapshot also for a copy of the memory that it leaves out, which is no disk.
    if missing := sorted(wanted.keys() - held.keys()):
        message = (
            f"the snapshot left out {', '.join(missing)} (PartialSnapshot), so nothing was backed up; "
            "give the volume's StorageClass a VolumeSnapshotClass"
        )
        return Refusal(Reason.SNAPSHOT_FAILED, message[:1024])
    return None


def refuse_swapped(capture: CaptureFacts, *, cut: bool) -> Refusal | None:
    """Check that the VolumeSnapshots are still KubeVirt's own, before they are ready: others' may never be.

    `cut`: KubeVirt has seen all of them exist, so one that is not there was deleted.
    """
    for volume in capture.volumes:
        if volume.snapshot is not None:
            problem = _ownership_problem(volume, volume.snapshot, capture.uid)
        elif cut:
            problem = f"somebody deleted VolumeSnapshot {volume.snapshot_name}"
        else:
            continue
        if problem:
            return _distrust(f"volume {volume.name}: {problem}")
    return None


def trusted_handle(
    volume: CapturedVolume, *, capture_uid: str | None, namespace: str, backup_uid: str
) -> SnapshotHandle | Refusal:
    """The record of one volume's snapshot, if claim, snapshot and content all fit together.

    `capture_uid` owns KubeVirt's snapshots; None for one of ours, which its claim and content prove.
    """
    if not _VOLUME_NAME.fullmatch(volume.name):
        return _distrust(f"volume name {volume.name!r} is none that KubeVirt accepts")
    claim, snapshot, content = volume.claim, volume.snapshot, volume.content
    if claim is None or snapshot is None or content is None:
        return _distrust(f"of volume {volume.name} the claim, the VolumeSnapshot or its content is gone")
    problem = (
        _claim_problem(volume, claim)
        or _snapshot_problem(volume, snapshot, content, capture_uid)
        or _content_problem(content, claim, snapshot, namespace)
    )
    if problem:
        return _distrust(f"volume {volume.name}: {problem}")
    if not content.handle:
        return _distrust(f"volume {volume.name}: VolumeSnapshotContent {content.name} has no handle")
    return SnapshotHandle(
        volume=volume.name,
        volume_snapshot=snapshot.name,
        volume_snapshot_uid=snapshot.uid,
        content=content.name,
        content_uid=content.uid,
        driver=content.driver,
        snapshot_handle=content.handle,
        class_name=content.class_name,
        original_deletion_policy=content.policy,
        source_volume_mode=content.source_mode,
        restore_size_bytes=max(content.restore_size_bytes, snapshot.restore_size_bytes),
        pair_name=pair_name(backup_uid, volume.name),
        claim_name=source_claim_name(backup_uid, volume.name),
    )


def _claim_problem(volume: CapturedVolume, claim: ClaimFacts) -> str | None:
    if claim.name != volume.claim_name or claim.uid != volume.claim_uid:
        return f"claim {claim.name} is not the one that was cut (uid {claim.uid} instead of {volume.claim_uid})"
    return None


def _snapshot_problem(
    volume: CapturedVolume, snapshot: VolumeSnapshotFacts, content: ContentFacts, capture_uid: str | None
) -> str | None:
    if problem := _ownership_problem(volume, snapshot, capture_uid):
        return problem
    if snapshot.content != content.name:
        return f"VolumeSnapshot {snapshot.name} is bound to {snapshot.content}, not to {content.name}"
    return None


def _ownership_problem(volume: CapturedVolume, snapshot: VolumeSnapshotFacts, capture_uid: str | None) -> str | None:
    if capture_uid is not None and snapshot.owner_uid != capture_uid:
        return f"VolumeSnapshot {snapshot.name} does not belong to this run's capture"
    if snapshot.claim != volume.claim_name:
        return f"VolumeSnapshot {snapshot.name} is of claim {snapshot.claim}, not of {volume.claim_name}"
    return None


def _content_problem(
    content: ContentFacts, claim: ClaimFacts, snapshot: VolumeSnapshotFacts, namespace: str
) -> str | None:
    named = (content.snapshot_namespace, content.snapshot_name, content.snapshot_uid)
    if named != (namespace, snapshot.name, snapshot.uid):
        return f"VolumeSnapshotContent {content.name} does not name VolumeSnapshot {snapshot.name} back"
    if content.driver != claim.driver:
        return f"VolumeSnapshotContent {content.name} is of driver {content.driver}, the volume is of {claim.driver}"
    if content.source_volume_handle != claim.volume_handle:
        return f"VolumeSnapshotContent {content.name} is of another volume than claim {claim.name} is bound to"
    if content.source_mode is not None and content.source_mode != claim.mode:
        return f"VolumeSnapshotContent {content.name} is of mode {content.source_mode}, the claim of {claim.mode}"
    return None


def _distrust(what: str) -> Refusal:
    return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, f"{what}; nothing was read from it. Back the VM up again"[:1024])
