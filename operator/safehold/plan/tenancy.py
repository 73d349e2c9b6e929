"""Who may use a target, who may restore what, and which objects a restore may create.

Namespaces are changed by cluster administrators only, so their annotations decide. Ownership goes by uid: a namespace
that was deleted and created again under its old name is another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safehold.api.references import AllowedNamespaces
from safehold.api.vmbackup import VMBackup
from safehold.plan.refusal import Refusal
from safehold.plan.selection import matches
from safehold.reasons import Reason
from safehold.run import Owner

ALLOW_RESTORE_TO = "safehold.dev/allow-restore-to"
"""On the source Namespace: the namespaces that may restore its points, separated by commas, or `*`."""
RESTORE_FROM = "safehold.dev/restore-from"
"""On the target Namespace: `CLUSTER/NAMESPACE` pairs, separated by commas, whose points it may restore.

For points whose Namespace is gone or is another cluster's. CLUSTER is the uid of that cluster's kube-system namespace.
"""

RESTORABLE_KINDS = frozenset(
    {
        ("kubevirt.io", "VirtualMachine"),
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("apps", "ControllerRevision"),
        ("instancetype.kubevirt.io", "VirtualMachineInstancetype"),
        ("instancetype.kubevirt.io", "VirtualMachinePreference"),
        ("k8s.cni.cncf.io", "NetworkAttachmentDefinition"),
    }
)
"""(group, kind) of what a restore may create in its namespace. A recalled manifest is untrusted input."""

_TOKEN_SECRET_TYPES = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFacts:
    """What is known of a Namespace object."""

    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOwner:
    """The namespace that a restore point was captured in."""

    cluster_id: str
    namespace: str
    namespace_uid: str


def owner_of(backup: VMBackup) -> Owner:
    """Who owns the point of a VMBackup, as a worker compares it with the point's manifest."""
    status = backup.status
    return Owner(
        cluster=status.cluster_id or "",
        namespace_uid=status.namespace_uid or "",
        vm_uid=status.vm_uid or "",
        namespace=backup.metadata.namespace or "",
        vm=backup.spec.vm.name,
    )


def allowed(namespaces: AllowedNamespaces | None, namespace: NamespaceFacts) -> bool:
    """Whether a ClusterBackupTarget with these `allowedNamespaces` serves the namespace. Empty means none."""
    if namespaces is None:
        return False
    if namespace.name in (namespaces.names or []):
        return True
    has_requirements = bool(namespaces.match_labels or namespaces.match_expressions)
    return has_requirements and matches(namespaces, namespace.labels)


def refuse_restore(
    owner: PointOwner, *, cluster_id: str, source: NamespaceFacts | None, target: NamespaceFacts
) -> Refusal | None:
    """Why `target` may not restore the owner's points, with the remedy; None if it may.

    `source` is the Namespace that has the owner's name in this cluster now, if there is one.
    """
    is_here = owner.cluster_id == cluster_id
    if is_here and owner.namespace_uid == target.uid:
        return None
    if is_here and source is not None and source.uid == owner.namespace_uid:
        return _refuse_living(source, target)
    origin = f"{owner.cluster_id}/{owner.namespace}"
    if origin in _listed(target, RESTORE_FROM):
        return None
    gone = "no longer exists" if is_here else "belongs to another cluster"
    return Refusal(
        Reason.RESTORE_NOT_ALLOWED,
        f"the restore point's namespace {owner.namespace} {gone}; "
        f"an administrator can annotate Namespace {target.name} with {RESTORE_FROM}={origin}",
    )


def _refuse_living(source: NamespaceFacts, target: NamespaceFacts) -> Refusal | None:
    if _listed(source, ALLOW_RESTORE_TO) & {target.name, "*"}:
        return None
    return Refusal(
        Reason.RESTORE_NOT_ALLOWED,
        f"namespace {source.name} does not allow restores into {target.name}; "
        f"an administrator can annotate Namespace {source.name} with {ALLOW_RESTORE_TO}={target.name}",
    )


def _listed(namespace: NamespaceFacts, annotation: str) -> set[str]:
    return {entry.strip() for entry in namespace.annotations.get(annotation, "").split(",") if entry.strip()}


def refuse_object(manifest: Mapping[str, Any]) -> str | None:
    """Why a restore does not create this object of a recalled manifest; None if it may."""
    api_version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
    group = api_version.rpartition("/")[0]
    if (group, kind) not in RESTORABLE_KINDS:
        return f"{kind or 'an object without kind'} of {api_version or 'no group'} is not among the restorable kinds"
    if kind == "Secret" and manifest.get("type") in _TOKEN_SECRET_TYPES:
        return f"a Secret of type {manifest['type']} would grant access to the cluster"
    return None
