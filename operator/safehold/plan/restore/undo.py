"""A restore that failed, was deleted, or whose namespace ends: everything that it made goes, the VM runs as before."""

from safehold.plan.names import job_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.handover import take_back
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.overwriting import put_back
from safehold.plan.restore.power import run_as_before
from safehold.plan.restore.steps import DeleteJob, DeleteObject, Finished, Step

PHASE = "CleaningUp"


def take_everything_back(look: Look, why: Refusal) -> Decision:
    """The next step back; with nothing left, the end of the restore."""
    # The VM's own volumes are whole, so it runs again before anything is waited for, such as a node that is away.
    step = _remove_objects(look) or put_back(look) or _run_again(look) or _remove_job(look) or _remove_volumes(look)
    if step is None:
        return look.ends(Finished(), "Stalled", "Failed", why.reason, why.message)
    # The message stays what went wrong; that it is being cleaned up, the phase says.
    return Decision(step, look.goes_on(Finished(), PHASE, why.message, reason=why.reason).status)


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
