"""From a judged snapshot to claims that the worker can read: hold the handles, pair them, clone.

The order survives being killed anywhere: handles are recorded before the first write, the originals are kept by Retain
before anything is made from them, and everything carries the run's labels.
"""

from safehold.api.capture import SnapshotHandle
from safehold.api.vmbackup import VolumeBackup
from safehold.plan.backup.capture_facts import CaptureFacts, ClaimFacts, ContentFacts
from safehold.plan.backup.facts import HoldFacts
from safehold.plan.backup.group.holding import hold_group, is_member, refuse_group
from safehold.plan.backup.memory import dump_memory, give_up
from safehold.plan.backup.memory_facts import MEMORY_VOLUME
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import CreateClone, CreatePair, HoldContent, RebindPair, Step
from safehold.plan.backup.trust import trusted_handle
from safehold.plan.backup.volumes import role_of
from safehold.plan.backup.worker import follow_worker, problems, start_worker
from safehold.plan.names import ORIGINAL_CONTENT, ORIGINAL_POLICY
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

_DELETION_SECRETS = "snapshot.storage.kubernetes.io/deletion-secret-"
"""Annotations that a content needs for its own deletion, which only contents made by the controller get."""


def prepare(run: Run) -> Decision:
    """Everything between the judged snapshot and the worker's report."""
    if run.facts.job is not None:
        return follow_worker(run, run.facts.job)
    snapshot = run.facts.snapshot
    if snapshot is None or snapshot.deleting or not snapshot.ready or snapshot.capture is None:
        message = "the snapshot was deleted or became unreadable before the worker started; back the VM up again"
        return run.fails(Refusal(Reason.SNAPSHOT_FAILED, message))
    if (dumping := dump_memory(run, snapshot.capture)) is not None:
        return dumping
    if not run.status.handles:
        return _record(run, snapshot.capture)
    if run.is_late:
        return _too_late(run)
    if refusal := refuse_group(run):
        return run.fails(refusal)
    for handle, hold in _pairs(run):
        if refusal := _refuse_hold(handle, hold):
            return _refused(run, handle.volume, refusal)
    return _make_readable(run, snapshot.capture)


def _make_readable(run: Run, captured: CaptureFacts) -> Decision:
    steps = _hold(run) or _pair(run, captured)
    if steps:
        return run.goes_on("Preparing", "makes the snapshot readable for the worker", *steps)
    if not all(_is_paired(hold) for hold in run.facts.holds):
        return run.waits("Preparing", f"waits for the CSI driver: {problems(run)}")
    if clones := _clones(run, captured):
        return run.goes_on("Preparing", "makes volumes from the snapshot", *clones)
    return start_worker(run, captured)


def _record(run: Run, captured: CaptureFacts) -> Decision:
    handles: list[SnapshotHandle] = []
    for volume in captured.volumes:
        owner = None if volume.name == MEMORY_VOLUME else captured.uid
        handle = trusted_handle(volume, capture_uid=owner, namespace=run.namespace, backup_uid=run.uid)
        if isinstance(handle, Refusal):
            return _refused(run, volume.name, handle)
        handles.append(handle)
    volumes = [volume_status(volume.name, volume.claim) for volume in captured.volumes if volume.claim]
    return run.goes_on("Preparing", "recorded the snapshot's handles", handles=handles, volumes=volumes)


def _too_late(run: Run) -> Decision:
    late = Refusal(Reason.TIMED_OUT, f"the worker's volumes were not ready in time: {problems(run)}"[:1024])
    unready = {hold.volume for hold in run.facts.holds if not _is_paired(hold) or hold.clone is None}
    return give_up(run, late) if unready == {MEMORY_VOLUME} else run.fails(late)


def _refused(run: Run, volume: str, refusal: Refusal) -> Decision:
    """Without one of its disks a backup fails, without the memory it does not."""
    return give_up(run, refusal) if volume == MEMORY_VOLUME else run.fails(refusal)


def volume_status(name: str, claim: ClaimFacts) -> VolumeBackup:
    """What the status says of a volume before the worker has read it."""
    return VolumeBackup.model_validate(
        {
            "name": name,
            "role": role_of(name),
            "mode": claim.mode,
            "claim_name": claim.name,
            "claim_uid": claim.uid,
            "capacity_bytes": claim.capacity_bytes,
            "storage_class_name": claim.storage_class,
            "access_modes": list(claim.access_modes),
        }
    )


def _refuse_hold(handle: SnapshotHandle, hold: HoldFacts) -> Refusal | None:
    """The recorded content must still be there, and ours must be what was recorded."""
    original = hold.original
    if original is None or original.uid != handle.content_uid or original.deleting:
        message = f"the snapshot of volume {handle.volume} was deleted by somebody while it was being prepared"
        return Refusal(Reason.SNAPSHOT_FAILED, message)
    ours = hold.content
    if ours is not None and (ours.handle, ours.driver) != (handle.snapshot_handle, handle.driver):
        message = f"VolumeSnapshotContent {ours.name} exists already, for another snapshot; delete it"
        return Refusal(Reason.SNAPSHOT_NOT_TRUSTED, message)
    return None


def _hold(run: Run) -> tuple[Step, ...]:
    members = (
        HoldContent(
            content=handle.content,
            resource_version=hold.original.resource_version,
            policy=handle.original_deletion_policy,
            labels=run.labels,
        )
        for handle, hold in _pairs(run)
        if hold.original is not None and not _is_held(run, hold.original)
    )
    return (*hold_group(run), *members)


def _is_held(run: Run, original: ContentFacts) -> bool:
    marked = original.annotations.get(ORIGINAL_POLICY) and run.labels.items() <= original.labels.items()
    return original.policy == "Retain" and bool(marked)


def _pair(run: Run, captured: CaptureFacts) -> tuple[Step, ...]:
    steps: list[Step] = []
    secrets = {
        volume.name: {
            key: value for key, value in volume.content.annotations.items() if key.startswith(_DELETION_SECRETS)
        }
        for volume in captured.volumes
        if volume.content
    }
    for handle, hold in _pairs(run):
        ours, snapshot = hold.content, hold.snapshot
        if ours is None or snapshot is None:
            annotations = {
                **secrets.get(handle.volume, {}),
                # A member is deleted with its group and never alone, so our content must not come to own it.
                ORIGINAL_POLICY: "Retain" if is_member(run, handle.volume) else handle.original_deletion_policy,
                ORIGINAL_CONTENT: handle.content,
            }
            steps.append(CreatePair(handle=handle, annotations=annotations, labels=run.labels))
        elif ours.snapshot_uid and ours.snapshot_uid != snapshot.uid:
            steps.append(RebindPair(content=ours.name, resource_version=ours.resource_version))
    return tuple(steps)


def _is_paired(hold: HoldFacts) -> bool:
    ours, snapshot = hold.content, hold.snapshot
    if ours is None or snapshot is None:
        return False
    return snapshot.ready and snapshot.content == ours.name and ours.snapshot_uid == snapshot.uid


def _clones(run: Run, captured: CaptureFacts) -> tuple[Step, ...]:
    claims = {volume.name: volume.claim for volume in captured.volumes}
    steps: list[Step] = []
    for handle, hold in _pairs(run):
        claim = claims.get(handle.volume)
        if hold.clone is None and claim is not None:
            steps.append(
                CreateClone(
                    name=handle.claim_name,
                    pair=handle.pair_name,
                    mode=claim.mode,
                    size_bytes=max(handle.restore_size_bytes, claim.capacity_bytes),
                    storage_class=run.rules.clone_storage_class or claim.storage_class,
                    access_modes=claim.access_modes,
                    labels=run.labels,
                )
            )
    return tuple(steps)


def _pairs(run: Run) -> list[tuple[SnapshotHandle, HoldFacts]]:
    holds = {hold.volume: hold for hold in run.facts.holds}
    return [(handle, holds[handle.volume]) for handle in run.status.handles]
