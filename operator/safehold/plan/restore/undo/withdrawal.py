"""A restore that failed, was deleted, or whose namespace ends: everything that it made goes, the VM runs as before.

Volumes that were swapped already are swapped back first.
"""

from safehold.api.base import Failure
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.names import RESTORED_BY, UNDO_OF, job_name, pair_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.machine.overwriting import put_back
from safehold.plan.restore.machine.power import run_as_before
from safehold.plan.restore.steps import (
    DeleteJob,
    DeleteObject,
    DeleteSafetySnapshot,
    Finished,
    RemovePair,
    Step,
    Wait,
)
from safehold.plan.restore.undo.reversal import hand_back
from safehold.plan.restore.volumes.claim_record import without_owners
from safehold.plan.restore.volumes.handover import take_back
from safehold.plan.storage import Claim

PHASE = "CleaningUp"


def take_everything_back(look: Look, why: Refusal) -> Decision:
    """The next step back; with nothing left, the end of the restore."""
    # The VM's own volumes are whole, so it runs again before anything is waited for, such as a node that is away.
    step = (
        _remove_objects(look)
        or put_back(look)
        or _run_again(look)
        or _remove_job(look)
        or _swap_back(look)
        or _remove_volumes(look)
        or _remove_snapshots(look)
    )
    if step is None:
        return _end(look, why)
    # The message stays what went wrong; that it is being cleaned up, the phase says.
    return Decision(step, look.goes_on(Finished(), PHASE, why.message, reason=why.reason).status)


def _end(look: Look, why: Refusal) -> Decision:
    if not look.swap_began:
        return look.ends(Finished(), "Stalled", "Failed", why.reason, why.message)
    kept = f"the VM's own volumes are kept: kubectl get pv -l {UNDO_OF}={look.uid}"
    message = f"{why.message}; {kept}"
    failure = Failure(reason=why.reason.value, message=message)
    return look.ends(Finished(), "Stalled", "Failed", why.reason, message, failure=failure)


def _remove_objects(look: Look) -> Step | None:
    """The VM first: what it uses goes after it."""
    objects = sorted(look.seen.created, key=lambda found: found.kind != "VirtualMachine")
    if not objects:
        return None
    first = objects[0]
    return DeleteObject(first.api_version, first.kind, first.name, first.uid)


def _remove_job(look: Look) -> Step | None:
    inquiry = look.seen.inquiry
    if look.seen.job is not None or look.seen.run_secret:
        return DeleteJob(job_name("restore", look.restore.metadata.name, look.uid))
    if inquiry.job is not None or inquiry.has_secret:
        return DeleteJob(job_name("describe", look.restore.metadata.name, look.uid))
    return None


def _swap_back(look: Look) -> Step | None:
    """In place: the next write that brings an old volume back under its claim, unless somebody else has the name."""
    if look.seen.namespace_ending:
        return None
    for record in look.status.volumes:
        seen = look.volume(record)
        if seen.old is None or seen.old.labels.get(UNDO_OF) != look.uid or not _has_name(look, record, seen.claim):
            continue
        wanted = record if look.has_vm else without_owners(record)
        step = hand_back(wanted, seen, look.place)
        if step is not None and not isinstance(step, Refusal):
            return step
    return None


def _has_name(look: Look, record: VolumeRestore, claim: Claim | None) -> bool:
    """Whether the claim's name is this restore's: free, under a claim of ours, or still under the one that goes."""
    if claim is None or claim.labels.get(RESTORED_BY) == look.uid:
        return True
    return claim.deleting and record.old_claim is not None and claim.ref.uid == record.old_claim.uid


def _remove_snapshots(look: Look) -> Step | None:
    """What new volumes were made from, after them: a snapshot stays as long as a claim waits for it."""
    for record in look.status.volumes:
        ways = look.seen.ways.get(record.name)
        if ways is not None and ways.has_pair:
            return RemovePair(pair_name(look.uid, record.name))
    safety = look.seen.safety
    if safety is None or look.swap_began:
        return None
    if safety.deleting:
        return Wait(f"VirtualMachineSnapshot {safety.name} is being deleted")
    return DeleteSafetySnapshot(safety.name, safety.uid)


def _remove_volumes(look: Look) -> Step | None:
    for record in look.status.volumes:
        step = take_back(record, look.volume(record), look.place)
        if step is not None:
            return step
    return None


def _run_again(look: Look) -> Step | None:
    if not look.in_place or look.seen.namespace_ending or look.swap_began:
        return None
    return run_as_before(look)
