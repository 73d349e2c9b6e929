"""Asking a bucket about a restore point before anything is decided: a worker reads the sealed manifest.

What the manifest says about its owner decides who may restore it, never a name.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from safehold.api import TargetRef, VMRestore
from safehold.api.restore_point import PointVM, PointVolume, RestorePoint
from safehold.description import DescribedVolume, DescribeRun, PointDescription, SoughtVM
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.names import job_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import Answer
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.point.source import Inquiry
from safehold.plan.restore.steps import AdoptSecret, StartInquiry
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason

PHASE = "Preparing"
TARGET_PATIENCE = timedelta(minutes=10)
"""How long a restore waits for its target to become ready."""
START_PATIENCE = timedelta(minutes=45)
"""From the VMRestore's creation until the worker runs."""


def wants_manifest(restore: VMRestore) -> bool:
    """Whether the VM's manifest is read before the restore is admitted, since more than the volumes depends on it."""
    return restore.spec.target.mode == "NewVM"


def ask(look: Look, inquiry: Inquiry) -> Decision | Answer:
    """The bucket's answer, or what is to be done until it is there."""
    job = look.seen.inquiry.job
    if job is None:
        return _start(look, inquiry)
    if job.outcome is None:
        return _follow(look, job)
    report = read_report(job, run_id=look.uid, verb="describe")
    if isinstance(report, Refusal):
        return look.fails(report)
    answer = look.seen.inquiry.answer
    if isinstance(answer, Refusal):
        return look.fails(answer)
    if answer is None or inquiry.point not in (None, answer.point.id):
        message = f"Job {job.name} did not answer what it was asked about the restore point; restore again"
        return look.fails(Refusal(Reason.REPORT_REJECTED, message))
    return answer


def read_manifest(look: Look) -> Decision | None:
    """Until the manifest of the chosen point is known, where the restore is judged by it."""
    if look.is_admitted or look.is_planned or not wants_manifest(look.restore):
        return None
    point = look.point
    inquiry = Inquiry(
        target_ref=point.target_ref,
        target_namespace=point.target_namespace,
        point=point.id,
        namespace_uid=point.vm.namespace_uid,
    )
    found = ask(look, inquiry)
    if isinstance(found, Decision):
        return found
    if _identity(found.point) == _identity(point):
        return None
    message = f"the restore point {point.id} belongs to another VM than the one that its VMBackup names"
    return look.fails(Refusal(Reason.POINT_NOT_YOURS, message))


def may_pass(look: Look, refusal: Refusal) -> bool:
    """Whether a target's refusal is waited out: TargetNotReady is the one that may pass by itself."""
    return refusal.reason is Reason.TARGET_NOT_READY and not _is_older(look, TARGET_PATIENCE)


def read_answer(objects: Sequence[Mapping[str, Any]], target_ref: TargetRef, target_namespace: str) -> Answer | Refusal:
    """What a worker put into the envelope: the description, then the VM's objects."""
    try:
        said = PointDescription.model_validate(objects[0] if objects else {})
        point = _described(said, target_ref, target_namespace)
    except ValidationError:
        message = (
            "the restore point was not made of a VM in a cluster; `safehold volume restore` restores its disks "
            "without Kubernetes"
        )
        return Refusal(Reason.POINT_NOT_YOURS, message)
    return Answer(point=point, objects=objects[1:])


def _described(said: PointDescription, target_ref: TargetRef, target_namespace: str) -> RestorePoint:
    return RestorePoint(
        id=said.point,
        capture_time=said.captured,
        consistency=said.consistency,
        verified=said.verified,
        vm=PointVM(
            cluster_id=said.owner.cluster,
            namespace=said.owner.namespace,
            namespace_uid=said.owner.namespace_uid,
            name=said.owner.vm,
            uid=said.owner.vm_uid,
        ),
        target_ref=target_ref,
        target_namespace=target_namespace,
        repository_id=said.repository_id,
        key_domain=said.key_domain,
        volumes=[_volume(volume) for volume in said.volumes],
        excluded_volumes=said.excluded,
    )


def _volume(said: DescribedVolume) -> PointVolume:
    return PointVolume.model_validate(
        {
            "name": said.name,
            "role": said.role,
            "mode": said.mode,
            "capacity_bytes": said.capacity_bytes,
            "disk_bytes": said.disk_bytes,
            "storage_class_name": said.storage_class,
            "access_modes": said.access_modes,
            "claim_name": said.claim,
        }
    )


def _identity(point: RestorePoint) -> tuple[str, str, str]:
    return point.vm.cluster_id, point.vm.namespace_uid, point.vm.uid


def _start(look: Look, inquiry: Inquiry) -> Decision:
    target = look.seen.target
    if isinstance(target, Refusal):
        waits = may_pass(look, target)
        return look.waits(PHASE, target.message, reason=target.reason) if waits else look.fails(target)
    assert isinstance(target, TargetFacts)
    name = job_name("describe", look.restore.metadata.name, look.uid)
    step = StartInquiry(name=name, run=_run(look, inquiry, target), target=target, labels=look.labels)
    called = f"{target.kind} {target.name}"
    return look.goes_on(step, PHASE, f"looks into the bucket of {called} for the restore point", inquiry_job=name)


def _run(look: Look, inquiry: Inquiry, target: TargetFacts) -> DescribeRun:
    source = look.restore.spec.source
    vm = SoughtVM(
        cluster=look.seen.cluster_id,
        namespace_uid=inquiry.namespace_uid or "",
        name=source.vm or "",
        uid=inquiry.vm_uid,
        before=source.before,
        verified=source.verified,
    )
    return DescribeRun(
        run_id=look.uid,
        repository=target.place,
        repository_id=target.repository_id,
        key_domain=target.key_domain(inquiry.namespace_uid) if inquiry.namespace_uid else None,
        point=inquiry.point,
        vm=None if inquiry.point else vm,
    )


def _follow(look: Look, job: JobFacts) -> Decision:
    if refusal := refuse_lost_node(job.pods, look.now):
        return look.fails(refusal)
    if not job.secret_owned:
        return look.goes_on(AdoptSecret(job.name, job.uid), PHASE, "looks into the bucket for the restore point")
    if job.waiting_for and _is_older(look, START_PATIENCE):
        message = f"the worker that looks into the bucket did not start in time: {job.waiting_for}"
        return look.fails(Refusal(Reason.TIMED_OUT, message[:1024]))
    waiting = f": {job.waiting_for}" if job.waiting_for else ""
    return look.waits(PHASE, f"waits for the worker that looks into the bucket{waiting}")


def _is_older(look: Look, patience: timedelta) -> bool:
    return look.now - (look.restore.metadata.creation_timestamp or look.now) >= patience
