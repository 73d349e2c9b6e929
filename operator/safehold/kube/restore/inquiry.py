"""The worker that looks into a bucket before a restore is decided, and what it found there."""

from safehold.api import TargetRef, VMRestore
from safehold.kube.client import Cluster
from safehold.kube.job_facts import observe_job
from safehold.kube.kinds import SECRET
from safehold.kube.restore.envelope import recall
from safehold.kube.target.resolution import read_namespace
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import Answer, InquiryFacts
from safehold.plan.restore.point.inquiry import read_answer


async def observe_inquiry(cluster: Cluster, restore: VMRestore, operator_namespace: str) -> InquiryFacts:
    """Its Job, where the record names one."""
    name = restore.status.inquiry_job
    if name is None:
        return InquiryFacts()
    job = await observe_job(cluster, operator_namespace, name, run_id=restore.metadata.uid)
    secret = None if job is not None else await cluster.get(SECRET, name, operator_namespace)
    return InquiryFacts(job=job, has_secret=secret is not None)


async def read_inquiry(
    cluster: Cluster,
    restore: VMRestore,
    seen: InquiryFacts,
    *,
    target_ref: TargetRef,
    target_namespace: str,
    operator_namespace: str,
) -> InquiryFacts:
    """The same with the answer, once there is one: the bucket of the target that was asked."""
    if seen.job is None or seen.job.outcome != "Complete":
        return seen
    objects = await recall(cluster, operator_namespace, seen.job.name, restore.metadata.uid)
    answer = objects if isinstance(objects, Refusal) else read_answer(objects, target_ref, target_namespace)
    owner = await read_namespace(cluster, answer.point.vm.namespace) if isinstance(answer, Answer) else None
    return InquiryFacts(job=seen.job, answer=answer, owner_namespace=owner)
