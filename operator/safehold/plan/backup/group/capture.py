"""The cut of a group: mark the claims, make it, take the marks away, and judge what it took.

A group selects by labels that everybody in the namespace may write. What it took is in its content, which nobody there
can write; a group that took other volumes than the VM's is given up, and the volumes are cut one by one.
"""

from safehold.api.fallback import FallbackCapture, FallbackGroup
from safehold.api.vmbackup import VMBackupStatus
from safehold.plan.backup.acceptance import accept, keep_machine
from safehold.plan.backup.capture_facts import CaptureFacts, SnapshotFacts
from safehold.plan.backup.consistency import reached_unfrozen
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.backup.group.facts import GroupContentFacts, GroupFacts, GroupSnapshotFacts
from safehold.plan.backup.group.steps import CutGroup, GroupStep, RemoveGroup, SelectedClaim, UnmarkClaim
from safehold.plan.backup.hooks import after_cut
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.trust import refuse_swapped
from safehold.plan.names import GROUP_MARK
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

_CUTTING = "cuts the volumes as a group, without KubeVirt"


def follow_group(run: Run, machine: MachineFacts, fallback: FallbackCapture, group: FallbackGroup) -> Decision:
    """Make the recorded group, let go of the claims, wait until its members can be read, and judge them."""
    facts = run.facts.group or GroupFacts()
    snapshot, content = facts.snapshot, facts.content
    if snapshot is None and group.uid is None:
        # The manifest that was kept for KubeVirt's snapshot is older than this cut.
        return run.goes_on("Snapshotting", _CUTTING, keep_machine(run), _cut(run, fallback, group))
    if problem := _problem(run, fallback, group, facts):
        return _give_up(run, fallback, problem)
    assert snapshot is not None
    seen = _seen(group, snapshot, content)
    unmark = _unmark(run, facts) if content is not None else ()
    if seen != group or unmark:
        recorded = fallback.model_copy(update={"group": seen})
        return run.goes_on("Snapshotting", _CUTTING, *unmark, fallback=recorded)
    if content is None or content.cut_at is None:
        return run.waits("Snapshotting", f"waits for the group snapshot: {_error(facts)}".rstrip(": "))
    assert run.facts.snapshot is not None
    return _judge(run, machine, fallback, run.facts.snapshot)


def abandoned(run: Run) -> tuple[GroupStep, ...]:
    """What is still to take back of a group that was given up."""
    facts = run.facts.group or GroupFacts()
    found = facts.snapshot
    remove = found is not None and not found.deleting
    return (
        *_unmark(run, facts),
        *((RemoveGroup(namespace=run.namespace, name=found.name, uid=found.uid),) if found and remove else ()),
    )


def without_group(status: VMBackupStatus, why: str) -> VMBackupStatus:
    """The status of a run that cuts its volumes one by one because the cluster refuses the group."""
    assert status.fallback is not None
    reason = f"the cluster refused the group: {why}"
    return status.model_copy(update={"fallback": status.fallback.model_copy(update={"ungrouped_reason": reason})})


def _judge(run: Run, machine: MachineFacts, fallback: FallbackCapture, snapshot: SnapshotFacts) -> Decision:
    captured = snapshot.capture
    assert captured is not None
    if refusal := refuse_swapped(captured, cut=False):
        return run.fails(refusal)
    if hook := after_cut(run):
        return hook
    if not snapshot.ready:
        if run.since(snapshot.created) > run.rules.prepare_timeout:
            message = f"the members of the group snapshot did not become readable: {snapshot.error}"
            return run.fails(Refusal(Reason.TIMED_OUT, message[:1024]))
        return run.waits("Snapshotting", f"waits for the group's members: {snapshot.error}".rstrip(": "))
    offline = fallback.offline and not (machine.running or machine.crashed)
    found = reached_unfrozen(captured, fallback.reason, offline=offline, group=snapshot.name)
    return accept(run, captured, machine, found, capture_time=captured.cut_time or fallback.start_time)


def _cut(run: Run, fallback: FallbackCapture, group: FallbackGroup) -> CutGroup:
    return CutGroup(
        namespace=run.namespace,
        backup=run.backup.metadata.name,
        backup_uid=run.uid,
        name=group.name,
        class_name=group.class_name,
        claims=tuple(SelectedClaim(volume.claim_name, volume.claim_uid) for volume in fallback.volumes),
        labels=run.labels,
    )


def _problem(run: Run, fallback: FallbackCapture, group: FallbackGroup, facts: GroupFacts) -> str | None:
    """Why nothing will come of the group."""
    snapshot, content = facts.snapshot, facts.content
    if snapshot is None or snapshot.deleting:
        return f"VolumeGroupSnapshot {group.name} was deleted by somebody"
    if not _is_ours(run, group, snapshot):
        return f"VolumeGroupSnapshot {group.name} is not the run's own"
    if content is not None and (problem := _content_problem(run, snapshot, content)):
        return problem
    cut = content is not None and content.cut_at is not None
    # Past this a cut is too far from KubeVirt's own try, and each volume for itself may still be cut.
    if not cut and run.since(fallback.start_time) > run.freeze_limit:
        said = _error(facts) or "the CSI driver says nothing"
        return f"the group was not cut within {int(run.freeze_limit.total_seconds())} s: {said}"
    return None


def _is_ours(run: Run, group: FallbackGroup, snapshot: GroupSnapshotFacts) -> bool:
    created = run.backup.metadata.creation_timestamp
    return (
        group.uid in (None, snapshot.uid)
        and snapshot.selector == {GROUP_MARK: run.uid}
        and (created is None or snapshot.created >= created)
    )


def _content_problem(run: Run, snapshot: GroupSnapshotFacts, content: GroupContentFacts) -> str | None:
    """The content must name the group back, and have cut the VM's volumes, all of them and no other."""
    named = (content.group_namespace, content.group_name, content.group_uid)
    if snapshot.content != content.name or named != (run.namespace, snapshot.name, snapshot.uid):
        return f"VolumeGroupSnapshotContent {content.name} does not name VolumeGroupSnapshot {snapshot.name} back"
    assert run.facts.snapshot is not None
    assert run.facts.snapshot.capture is not None
    wanted = _handles(run.facts.snapshot.capture)
    if wanted is None:
        return "a claim of the VM is gone, or not bound any more"
    if sorted(content.volume_handles) != sorted(handle for _, handle in wanted):
        taken = f"took {len(content.volume_handles)} volumes that are not exactly the VM's {len(wanted)}"
        return f"VolumeGroupSnapshot {snapshot.name} {taken}: somebody labelled other claims, or unlabelled these"
    if {driver for driver, _ in wanted} != {content.driver}:
        return f"VolumeGroupSnapshotContent {content.name} is of driver {content.driver}, the volumes are not"
    return None


def _handles(captured: CaptureFacts) -> list[tuple[str, str]] | None:
    claims = [volume.claim for volume in captured.volumes]
    return None if None in claims else [(claim.driver, claim.volume_handle) for claim in claims if claim]


def _seen(group: FallbackGroup, snapshot: GroupSnapshotFacts, content: GroupContentFacts | None) -> FallbackGroup:
    """The record with what was found; the policy as it was first, before it is held."""
    update: dict[str, str] = {"uid": snapshot.uid}
    if content is not None and group.content is None:
        update |= {"content": content.name, "content_uid": content.uid, "original_deletion_policy": content.policy}
    return group.model_copy(update=update)


def _give_up(run: Run, fallback: FallbackCapture, why: str) -> Decision:
    alone = fallback.model_copy(update={"ungrouped_reason": why[:1024], "start_time": run.now})
    return run.goes_on("Snapshotting", f"cuts the volumes one by one: {why}", *abandoned(run), fallback=alone)


def _unmark(run: Run, facts: GroupFacts) -> tuple[UnmarkClaim, ...]:
    return tuple(UnmarkClaim(namespace=claim.namespace, name=claim.name, backup_uid=run.uid) for claim in facts.marked)


def _error(facts: GroupFacts) -> str:
    return (facts.content.error if facts.content else "") or (facts.snapshot.error if facts.snapshot else "")
