"""What happens to a VMRestore after its end: replaced volumes are kept for their time, then they go, and it itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from safehold.api import VMRestore
from safehold.api.base import ReclaimPolicy
from safehold.api.durations import parse_duration
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.names import KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY, UNDO_OF
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.steps import (
    DeleteRestore,
    DeleteSafetySnapshot,
    Finished,
    KeepVolume,
    Record,
    SetReclaimPolicy,
    Step,
    Wait,
)
from safehold.plan.storage import Volume

_TRACKING = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")
"""Labels and annotations by which GitOps tools know their objects again."""


def undo_end(look: Look) -> datetime:
    """Until when volumes that are kept from now on are kept."""
    return look.now + parse_duration(look.restore.spec.kept_for)


def keep_volumes(look: Look) -> Decision | None:
    """Until every kept volume says for how long: with the VMRestore gone, only the volume can."""
    if not look.in_place:
        return None
    phase = "Starting" if look.status.undo_start_time is None else "Undoing"
    until = look.status.undo_until
    if until is None:
        return look.goes_on(Record(), phase, "keeps the replaced volumes", undo_until=undo_end(look))
    for record in look.status.volumes:
        volume, policy = _kept(look, record)
        marks = {KEPT_UNTIL: until.isoformat(), ORIGINAL_RECLAIM_POLICY: policy}
        if volume is not None and not marks.items() <= volume.annotations.items():
            step = KeepVolume(volume.name, volume.uid, {UNDO_OF: look.uid}, marks)
            return look.goes_on(step, phase, f"keeps volume {volume.name} until {until:%FT%TZ}")
    return None


def after_end(look: Look) -> Decision:
    """What is to do once a restore, or its undo, has ended; the status stays as it is."""
    until = look.status.undo_until
    if look.deleting or until is None or look.status.removal_time is not None:
        return _expire(look)
    if look.now < until:
        return Decision(Finished(look_again=until), look.status)
    step = _remove(look)
    if step is not None:
        return Decision(step, look.status)
    return Decision(Record(), look.status.model_copy(update={"removal_time": look.now}))


def is_overdue(annotations: Mapping[str, str], now: datetime) -> bool:
    """Whether a kept object says that its time is over; one that says nothing is of a restore that failed."""
    until = annotations.get(KEPT_UNTIL)
    return until is not None and datetime.fromisoformat(until) <= now


def _kept(look: Look, record: VolumeRestore) -> tuple[Volume | None, ReclaimPolicy]:
    """The volume that is kept, and the policy that it gets back: the old one, or after an undo the restored one."""
    seen = look.volume(record)
    if record.step == Mark.UNDONE:
        return seen.volume, record.reclaim_policy or "Retain"
    return seen.old, record.old_reclaim_policy or "Retain"


def _remove(look: Look) -> Step | None:
    """The snapshot first: many drivers delete no volume that has one."""
    safety = look.seen.safety
    if safety is not None:
        if safety.deleting:
            return Wait(f"VirtualMachineSnapshot {safety.name} is being deleted")
        return DeleteSafetySnapshot(safety.name, safety.uid)
    for record in look.status.volumes:
        volume, policy = _kept(look, record)
        if volume is not None and volume.labels.get(UNDO_OF) == look.uid:
            return SetReclaimPolicy(volume.name, volume.uid, policy, drop_label=UNDO_OF)
    return None


def _expire(look: Look) -> Decision:
    due = _due(look)
    if due is None or look.deleting:
        return Decision(Finished(), look.status)
    if look.now < due:
        return Decision(Finished(look_again=due), look.status)
    return Decision(DeleteRestore(look.restore.metadata.name, look.uid), look.status)


def _due(look: Look) -> datetime | None:
    """When the VMRestore goes; None: never by itself."""
    seconds, ended = look.restore.spec.ttl_seconds_after_finished, look.status.completion_time
    if seconds is None or ended is None or _is_tracked(look.restore):
        return None
    return max(ended, look.status.undo_end_time or ended) + timedelta(seconds=seconds)


def _is_tracked(restore: VMRestore) -> bool:
    """Whether a GitOps tool would create the object anew, which would restore the VM again."""
    marks = (*restore.metadata.labels, *restore.metadata.annotations)
    return any(mark.startswith(_TRACKING) for mark in marks)
