"""What a run may use of a target, and whether it may use it at all."""

from dataclasses import dataclass

from safehold.api import BackupTarget, ClusterBackupTarget, TargetRef
from safehold.api.references import CaBundleRef, RepositoryKeyRef, SecretRef
from safehold.api.target import KeyDomain, TargetAccessMode
from safehold.plan.quantities import parse_bytes
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules, refuse_endpoint
from safehold.plan.tenancy import NamespaceFacts, allowed
from safehold.reasons import Reason
from safehold.run import RepositoryPlace

AnyTarget = BackupTarget | ClusterBackupTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """All that a run needs to know about its target. Secrets are named, never held; they lie in `secrets_namespace`."""

    kind: str
    name: str
    uid: str
    secrets_namespace: str
    place: RepositoryPlace
    key: RepositoryKeyRef
    credentials: SecretRef | None
    ca_bundle: CaBundleRef | None
    sharing: KeyDomain
    access_mode: TargetAccessMode
    repository_id: str | None
    max_frozen_vms: int | None = None
    max_active_runs: int | None = None
    queue_name: str | None = None

    def key_domain(self, namespace_uid: str) -> str:
        """The key domain of a namespace's points, as `safehold.run` spells it."""
        return "target" if self.sharing == "Target" else f"namespace/{namespace_uid}"


def describe(target: AnyTarget, operator_namespace: str, rules: EndpointRules) -> TargetFacts | Refusal:
    """What a target says about itself; refused when its endpoint is."""
    s3 = target.spec.s3
    refusal = refuse_endpoint(s3.endpoint, rules)
    if refusal is not None:
        return refusal
    return TargetFacts(
        kind=target.kind,
        name=target.metadata.name,
        uid=target.metadata.uid,
        secrets_namespace=target.metadata.namespace or operator_namespace,
        place=RepositoryPlace(
            bucket=s3.bucket,
            prefix=s3.prefix,
            endpoint_url=s3.endpoint,
            region=s3.region,
            force_path_style=s3.force_path_style,
            allow_local_endpoint=rules.allow_local,
            forbidden_addresses=rules.forbidden_addresses,
            bandwidth_bytes_per_second=_bandwidth(target),
        ),
        key=target.spec.encryption.key_secret_ref,
        credentials=target.spec.credentials_secret_ref,
        ca_bundle=s3.ca_bundle_secret_ref,
        sharing=target.spec.key_domain,
        access_mode=target.spec.access_mode,
        repository_id=target.status.repository_id,
        max_frozen_vms=target.spec.max_frozen_vms,
        max_active_runs=target.spec.max_active_runs,
        queue_name=target.spec.queue_name,
    )


def _bandwidth(target: AnyTarget) -> int | None:
    limit = target.spec.worker_bandwidth
    return None if limit is None else parse_bytes(limit)


def resolve(
    ref: TargetRef,
    target: AnyTarget | None,
    *,
    namespace: NamespaceFacts,
    operator_namespace: str,
    rules: EndpointRules,
) -> TargetFacts | Refusal:
    """The target that `ref` names in `namespace`, or why a run there cannot use it now.

    TARGET_NOT_READY is the one refusal that may pass by itself.
    """
    if target is None or target.metadata.deletion_timestamp is not None:
        where = f" in namespace {namespace.name}" if ref.kind == "BackupTarget" else ""
        message = f"{ref.kind} {ref.name} does not exist{where}; create it or correct targetRef"
        return Refusal(Reason.TARGET_NOT_FOUND, message)
    if isinstance(target, ClusterBackupTarget) and not allowed(target.spec.allowed_namespaces, namespace):
        message = (
            f"ClusterBackupTarget {ref.name} does not serve namespace {namespace.name}; "
            "its owner can add the namespace to spec.allowedNamespaces"
        )
        return Refusal(Reason.TARGET_NOT_ALLOWED, message)
    facts = describe(target, operator_namespace, rules)
    if isinstance(facts, Refusal):
        return facts
    return _not_ready(target) or facts


def refuse_writing(target: TargetFacts) -> Refusal | None:
    """Why nothing is written to the target, or deleted in it."""
    if target.access_mode == "ReadWrite":
        return None
    message = f"{target.kind} {target.name} is ReadOnly; set accessMode to ReadWrite or name another"
    return Refusal(Reason.TARGET_READ_ONLY, message)


def refuse_repository(target: TargetFacts, recorded: str | None) -> Refusal | None:
    """Why the target is not the one of a run or point whose repository was `recorded`: it was made anew since."""
    if recorded in (None, target.repository_id):
        return None
    message = (
        f"repository {recorded} is meant, but {target.kind} {target.name} holds {target.repository_id} now; "
        "bring the bucket of the backup back under that target"
    )
    return Refusal(Reason.REPOSITORY_CHANGED, message)


def _not_ready(target: AnyTarget) -> Refusal | None:
    ready = next((found for found in target.status.conditions if found.type == "Ready"), None)
    name = f"{target.kind} {target.metadata.name}"
    if ready is None or ready.observed_generation != target.metadata.generation:
        return Refusal(Reason.TARGET_NOT_READY, f"{name} has not been checked yet; wait for its Ready condition")
    if ready.status != "True":
        return Refusal(Reason.TARGET_NOT_READY, f"{name} is not ready: {ready.message}"[:1024])
    return None
