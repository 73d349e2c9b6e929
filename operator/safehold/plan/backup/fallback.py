"""The capture of last resort: snapshots of our own, after KubeVirt has given up its snapshot of the VM.

Nothing is frozen for it (docs/adr/0008), so what comes of it is Crash-consistent at best, or Offline. Several volumes
are cut as a group where that can be (docs/adr/0010), else each for itself, all at the same moment. The snapshots carry
the run's labels and belong to the VMBackup, and are checked, held, paired and removed as KubeVirt's are.
"""

from safehold.api.fallback import FallbackCapture, FallbackGroup, FallbackVolume
from safehold.plan.backup.acceptance import accept, keep_machine
from safehold.plan.backup.capture_facts import CaptureFacts, SnapshotFacts
from safehold.plan.backup.consistency import reached_unfrozen
from safehold.plan.backup.facts import FallbackFacts, MachineFacts
from safehold.plan.backup.group.capture import abandoned, follow_group
from safehold.plan.backup.group.choice import choose_group
from safehold.plan.backup.hooks import after_cut
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.snapshot_classes import choose_class
from safehold.plan.backup.steps import NewVolumeSnapshot, TakeVolumeSnapshots
from safehold.plan.backup.trust import refuse_swapped
from safehold.plan.names import own_snapshot_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


def begin_fallback(run: Run, machine: MachineFacts, failure: Refusal) -> Decision:
    """Record what will be cut, and why KubeVirt does not do it."""
    assert run.facts.fallback is not None
    volumes = _volumes(run.facts.fallback)
    if isinstance(volumes, Refusal):
        message = f"{failure.message}; and there is no other way: {volumes.message}"
        return run.fails(Refusal(volumes.reason, message[:1024]))
    group = choose_group(
        [claim for claim in run.facts.fallback.claims.values() if claim],
        run.facts.fallback.groups,
        backup=run.backup.metadata.name,
        backup_uid=run.uid,
    )
    fallback = FallbackCapture(
        reason=failure.message,
        start_time=run.now,
        offline=not machine.running,
        volumes=volumes,
        group=group if isinstance(group, FallbackGroup) else None,
        ungrouped_reason=group if isinstance(group, str) else None,
    )
    return run.goes_on("Snapshotting", "cuts the volumes without KubeVirt", fallback=fallback)


def follow_fallback(run: Run, machine: MachineFacts, fallback: FallbackCapture) -> Decision:
    """Make the recorded snapshots, wait until they can be read, and judge them."""
    if fallback.by_group is not None:
        return follow_group(run, machine, fallback, fallback.by_group)
    if steps := abandoned(run):
        return run.goes_on("Snapshotting", "takes the group snapshot back", *steps, again=1.0)
    snapshot = run.facts.snapshot
    assert snapshot is not None
    assert snapshot.capture is not None
    captured = snapshot.capture
    if refusal := _refuse_cut(run, snapshot, captured):
        return run.fails(refusal)
    missing = {volume.name for volume in captured.volumes if volume.snapshot is None}
    if missing:
        take = _take(run, fallback, missing)
        # The manifest that was kept for KubeVirt's snapshot is older than this cut.
        return run.goes_on("Snapshotting", "cuts the volumes without KubeVirt", keep_machine(run), take)
    if snapshot.succeeded and (hook := after_cut(run)):
        return hook
    if not snapshot.ready:
        return run.waits("Snapshotting", f"waits for the volume snapshots: {snapshot.error}".rstrip(": "))
    offline = fallback.offline and not (machine.running or machine.crashed)
    found = reached_unfrozen(captured, fallback.reason, offline=offline)
    return accept(run, captured, machine, found, capture_time=captured.cut_time or fallback.start_time)


def _volumes(facts: FallbackFacts) -> list[FallbackVolume] | Refusal:
    volumes: list[FallbackVolume] = []
    for name, claim in facts.claims.items():
        if claim is None:
            return Refusal(Reason.NOT_SNAPSHOTTABLE, f"volume {name} has no claim that is bound to a CSI volume")
        chosen = choose_class(claim, facts)
        if isinstance(chosen, Refusal):
            return chosen
        volumes.append(FallbackVolume(name=name, claim_name=claim.name, claim_uid=claim.uid, class_name=chosen))
    return volumes


def _refuse_cut(run: Run, snapshot: SnapshotFacts, captured: CaptureFacts) -> Refusal | None:
    if refusal := refuse_swapped(captured, cut=False):
        return refusal
    age = run.since(snapshot.created)
    # Volumes that are cut minutes apart are no image of one VM.
    if not snapshot.succeeded and age > run.freeze_limit:
        said = snapshot.error or "the CSI driver says nothing"
        message = f"the volumes were not cut within {int(run.freeze_limit.total_seconds())} s either: {said}"
        return Refusal(Reason.SNAPSHOT_FAILED, message[:1024])
    if not snapshot.ready and age > run.rules.prepare_timeout:
        return Refusal(Reason.TIMED_OUT, f"the volume snapshots did not become readable: {snapshot.error}"[:1024])
    return None


def _take(run: Run, fallback: FallbackCapture, missing: set[str]) -> TakeVolumeSnapshots:
    snapshots = tuple(
        NewVolumeSnapshot(
            name=own_snapshot_name(run.uid, volume.name), claim=volume.claim_name, class_name=volume.class_name
        )
        for volume in fallback.volumes
        if volume.name in missing
    )
    name = run.backup.metadata.name
    return TakeVolumeSnapshots(
        namespace=run.namespace, backup=name, backup_uid=run.uid, snapshots=snapshots, labels=run.labels
    )
