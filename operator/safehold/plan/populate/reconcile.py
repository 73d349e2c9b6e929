"""The next step of a claim that fills itself: a filling claim, a worker, and the volume is the tenant's.

The filling claim in the operator's namespace is the record: it is the first thing that is made and the last that goes,
and it names the volume until the very end. So whatever is interrupted, also by the deletion of the tenant's claim, what
was made is found by it. The order of the hand-over is the one of `plan.restore.handover`, with one difference: the
tenant's claim is there from the start and names no volume, so the claimRef alone binds it.
"""

from safehold.api.base import ReclaimPolicy
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.placement import common_nodes
from safehold.plan.populate.admission import Filling, admit, usable_target
from safehold.plan.populate.facts import (
    CHOSEN_VOLUME,
    RECLAIM_POLICY,
    SELECTED_NODE,
    Orphan,
    PopulateDecision,
    PopulateFacts,
)
from safehold.plan.refusal import Refusal
from safehold.plan.restore.point.description import point_of
from safehold.plan.restore.steps import (
    AdoptSecret,
    AssignVolume,
    CreateClaim,
    DeleteClaim,
    DeleteJob,
    Finished,
    KeepVolume,
    SetReclaimPolicy,
    StartRestoreJob,
    Step,
    Wait,
)
from safehold.plan.restore.volumes.fill import restore_run
from safehold.plan.storage import Claim, NewClaim, Volume, misfit
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason
from safehold.run import VolumeToRestore, disk_path


def next_step(facts: PopulateFacts) -> PopulateDecision:
    """What to do now."""
    if facts.claim.phase == "Bound":
        return _settle(facts)
    if facts.job is not None and facts.job.outcome is not None:
        return _end(facts, facts.job)
    filling = admit(facts)
    if isinstance(filling, Refusal):
        return _refused(facts, filling)
    if facts.job is not None:
        return _follow(facts, facts.job)
    target = usable_target(facts, filling.backup)
    if isinstance(target, Refusal):
        return _refused(facts, target)
    if facts.storage_class and facts.storage_class.waits_for_consumer and SELECTED_NODE not in facts.claim.annotations:
        # The volume must be where the claim's pod will run; the scheduler writes that to the claim once there is a pod.
        return PopulateDecision(step=Finished())
    return _make_prime(facts, filling) if facts.prime is None else _start(facts, filling, target, facts.prime)


def remove_orphan(orphan: Orphan) -> Step | None:
    """The next write that removes what was made for a claim that is gone; None when nothing is left."""
    if orphan.jobs:
        return DeleteJob(orphan.jobs[0])
    return _take_back(orphan.prime, orphan.volume, orphan.uid)


def _take_back(prime: Claim | None, volume: Volume | None, uid: str) -> Step | None:
    """The policy comes first: a volume of a class that retains would stay behind once nothing names it."""
    if prime is None:
        return None
    if volume is not None and volume.reclaim_policy != "Delete" and _is_held_by(volume, prime.ref.uid, uid):
        return SetReclaimPolicy(volume.name, volume.uid, "Delete")
    return _remove(prime)


def _is_held_by(volume: Volume, *claims: str) -> bool:
    return volume.claim is None or volume.claim.uid in claims


def _refused(facts: PopulateFacts, refusal: Refusal) -> PopulateDecision:
    """Nothing half-made stays: a worker that runs is stopped, and what it wrote goes."""
    step = DeleteJob(facts.job.name) if facts.job is not None else _take_back(facts.prime, facts.volume, facts.uid)
    return _warned(step or Finished(), refusal.reason, refusal.message)


def _make_prime(facts: PopulateFacts, filling: Filling) -> PopulateDecision:
    assert facts.storage_class is not None  # admit saw to that
    node = facts.claim.annotations.get(SELECTED_NODE)
    claim = NewClaim(
        namespace=facts.operator_namespace,
        name=facts.prime_name,
        shape=facts.claim.shape,
        labels=facts.labels,
        annotations={
            CHOSEN_VOLUME: filling.volume.name,
            RECLAIM_POLICY: facts.storage_class.reclaim_policy,
            **({SELECTED_NODE: node} if node else {}),
        },
    )
    return PopulateDecision(step=CreateClaim(claim))


def _start(facts: PopulateFacts, filling: Filling, target: TargetFacts, prime: Claim) -> PopulateDecision:
    if prime.deleting:
        return PopulateDecision(step=Wait(f"claim {prime.ref.name} is being deleted; pods that use it hold it"))
    nodes = common_nodes({filling.volume.name: facts.volume.node_affinity if facts.volume else None})
    assert not isinstance(nodes, Refusal)  # one volume cannot contradict itself
    shape = facts.claim.shape
    volume = VolumeToRestore(
        name=filling.volume.name,
        path=disk_path(filling.volume.name, shape.mode),
        mode=shape.mode,
        size_bytes=shape.size_bytes,
    )
    step = StartRestoreJob(
        name=facts.job_name,
        run=restore_run(facts.uid, point_of(filling.backup), target, [volume]),
        claims={filling.volume.name: facts.prime_name},
        target=target,
        labels=facts.labels,
        node_affinity=nodes,
    )
    point = filling.backup.status.restore_point
    message = f"fills the claim with volume {filling.volume.name} of restore point {point}"
    return PopulateDecision(step=step, event="Populating", message=message)


def _follow(facts: PopulateFacts, job: JobFacts) -> PopulateDecision:
    if facts.prime is None:
        # Somebody deleted the claim that this worker was started with; one of its name would be empty.
        return PopulateDecision(step=DeleteJob(job.name))
    if refusal := refuse_lost_node(job.pods, facts.now):
        return _warned(Wait(refusal.message), refusal.reason, refusal.message)
    if not job.secret_owned:
        return PopulateDecision(step=AdoptSecret(job.name, job.uid))
    return PopulateDecision(step=Wait(f"the worker fills the claim: {job.waiting_for}".rstrip(": ")))


def _end(facts: PopulateFacts, job: JobFacts) -> PopulateDecision:
    """A worker that failed stays as the record of it, without the volume: the claim is not filled a second time."""
    prime = facts.prime
    asked = [prime.annotations.get(CHOSEN_VOLUME, "")] if prime and not prime.deleting else []
    report = read_report(job, run_id=facts.uid, verb="restore", volumes=asked)
    if isinstance(report, Refusal):
        message = f"the claim was not filled: {report.message}; delete the claim and create it again"[:1024]
        return _warned(_take_back(facts.prime, facts.volume, facts.uid) or Finished(), report.reason, message)
    if prime is None or facts.volume is None:
        return PopulateDecision(step=Wait("the filling claim is not bound to a volume"))
    return _hand_over(facts, prime, facts.volume)


def _hand_over(facts: PopulateFacts, prime: Claim, volume: Volume) -> PopulateDecision:
    claim = facts.claim
    if volume.claim not in (prime.ref, claim.ref):
        message = f"PersistentVolume {volume.name} was given to another claim by somebody"
        return _warned(Finished(), Reason.CLAIM_CONFLICT, message)
    if reason := misfit(claim.shape, volume):
        message = f"the claim does not fit the filled volume: {reason}; delete it and create it again"
        return _warned(_take_back(facts.prime, facts.volume, facts.uid) or Finished(), Reason.VOLUME_MISMATCH, message)
    if volume.claim == claim.ref:
        return PopulateDecision(step=Wait(f"claim {claim.ref.name} is being bound to its volume"))
    if volume.reclaim_policy != "Retain":
        return PopulateDecision(step=KeepVolume(volume.name, volume.uid, {}))
    return PopulateDecision(step=AssignVolume(volume.name, volume.resource_version, claim.ref))


def _settle(facts: PopulateFacts) -> PopulateDecision:
    """The volume is the claim's: worker, policy and filling claim, in this order, so that nothing is lost track of."""
    if facts.job is not None:
        return PopulateDecision(step=DeleteJob(facts.job.name))
    prime, volume = facts.prime, facts.volume
    if prime is None:
        return PopulateDecision(step=Finished())
    if volume is None or volume.claim != facts.claim.ref:
        # It was bound to another volume than ours.
        return PopulateDecision(step=_take_back(facts.prime, facts.volume, facts.uid) or Finished())
    policy: ReclaimPolicy = "Retain" if prime.annotations.get(RECLAIM_POLICY) == "Retain" else "Delete"
    if volume.reclaim_policy != policy:
        return PopulateDecision(step=SetReclaimPolicy(volume.name, volume.uid, policy))
    message = f"the claim is filled and bound to PersistentVolume {volume.name}"
    return PopulateDecision(step=_remove(prime), event="Populated", message=message)


def _warned(step: Step, reason: Reason, message: str) -> PopulateDecision:
    return PopulateDecision(step=step, event=reason.value, message=message, is_warning=True)


def _remove(claim: Claim) -> Step:
    if claim.deleting:
        return Wait(f"claim {claim.ref.namespace}/{claim.ref.name} is being deleted; pods that use it hold it")
    return DeleteClaim(claim.ref)
