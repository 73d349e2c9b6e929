"""Whether the operator's service account may do what a backup and a restore need.

It is asked with SubjectAccessReviews for that account: the person who runs the doctor has other rights.
"""

from dataclasses import dataclass

from safehold.kube.client import Cluster
from safehold.kube.kinds import (
    CLAIM,
    GROUP,
    JOB,
    SECRET,
    SUBJECT_ACCESS_REVIEW,
    VM,
    VM_SNAPSHOT,
    VOLUME,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.plan.doctor.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource (with its subresource after a slash); everywhere, or in the operator's namespace."""

    verb: str
    group: str
    resource: str
    everywhere: bool = True


NEEDED: tuple[Right, ...] = (
    *(Right("patch", GROUP, f"{plural}/status") for plural in ("vmbackups", "vmrestores", "backuptargets")),
    Right("create", GROUP, "vmbackups"),
    Right("list", VM.group, VM.plural),
    *(Right(verb, VM_SNAPSHOT.group, VM_SNAPSHOT.plural) for verb in ("create", "delete")),
    Right("update", "subresources.kubevirt.io", "virtualmachineinstances/unfreeze"),
    *(Right(verb, VOLUME_SNAPSHOT.group, VOLUME_SNAPSHOT.plural) for verb in ("create", "delete")),
    *(
        Right(verb, VOLUME_SNAPSHOT_CONTENT.group, VOLUME_SNAPSHOT_CONTENT.plural)
        for verb in ("create", "patch", "delete")
    ),
    *(Right(verb, CLAIM.group, CLAIM.plural) for verb in ("create", "patch", "delete")),
    Right("patch", VOLUME.group, VOLUME.plural),
    *(Right(verb, JOB.group, JOB.plural, everywhere=False) for verb in ("create", "delete")),
    *(Right(verb, SECRET.group, SECRET.plural, everywhere=False) for verb in ("list", "create", "delete")),
)
"""Without any of these a backup or a restore stops in the middle; the chart grants them and some more."""


async def check_rights(cluster: Cluster, namespace: str, service_account: str) -> list[Verdict]:
    """One verdict on all that is needed."""
    user = f"system:serviceaccount:{namespace}:{service_account}"
    missing = [right for right in NEEDED if not await is_allowed(cluster, user, right, namespace)]
    if not missing:
        return [Verdict(check="rights", level="ok", message=f"ServiceAccount {service_account} may do what it needs")]
    named = ", ".join(f"{right.verb} {right.resource}" for right in missing)
    message = f"ServiceAccount {namespace}/{service_account} may not {named}"
    return [Verdict(check="rights", level="fail", message=message, remedy="install the chart's RBAC of this version")]


async def is_allowed(cluster: Cluster, user: str, right: Right, namespace: str) -> bool:
    """Whether the user, a service account of this namespace, has the right."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
    if not right.everywhere:
        attributes["namespace"] = namespace
    body = {
        "apiVersion": SUBJECT_ACCESS_REVIEW.api_version,
        "kind": SUBJECT_ACCESS_REVIEW.kind,
        "spec": {"user": user, "groups": _groups(namespace), "resourceAttributes": attributes},
    }
    answer = await cluster.connection.json(
        "POST", SUBJECT_ACCESS_REVIEW.path(), body=body, doing=f"ask for the rights of {user}"
    )
    return bool(answer["status"]["allowed"])


def _groups(namespace: str) -> list[str]:
    return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
