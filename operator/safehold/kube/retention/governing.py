"""Policies, VMs and holds that decide about a target's points; and what policies show of the answer."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime

from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.census import Census
from safehold.errors import NotFoundError
from safehold.kube.client import Cluster
from safehold.kube.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY, NAMESPACE, VM, VM_BACKUP
from safehold.kube.status import OWN_KINDS
from safehold.plan.policy.facts import AnyPolicy
from safehold.plan.retention.governing import governing_rules, preview
from safehold.plan.target.maintenance import Governed
from safehold.plan.target.use import AnyTarget
from safehold.report import RetentionLine

_FIELD_MANAGER = "safehold-retention"
"""Owns `retentionPreview` alone: the policy's own reconcile applies the rest, at any time."""


async def read_governed(cluster: Cluster, target: AnyTarget, now: datetime) -> Governed:
    """All that must be known before a point of the target is forgotten. Fails rather than to leave something out."""
    namespace = target.metadata.namespace
    policies = await _policies(cluster, namespace)
    namespaces = await _uids(cluster, {policy.metadata.namespace for policy in policies if policy.metadata.namespace})
    # A VM that comes after this look loses nothing: one counts as gone only after a grace that begins when it is noted.
    machines = [
        found["metadata"]["uid"]
        async for page in cluster.pages(VM, namespace, metadata_only=True)
        for found in page.items
    ]
    held = [
        found.get("status", {}).get("restorePoint")
        async for page in cluster.pages(VM_BACKUP, namespace)
        for found in page.items
        if found["spec"].get("hold")
    ]
    return Governed(
        rules=[
            rules
            for policy in policies
            for rules in governing_rules(policy, namespaces.get(policy.metadata.namespace or "", ""), now)
        ],
        policies=[policy.metadata.uid for policy in policies],
        machines=Census.of(machines),
        held=[point for point in held if point],
    )


async def _uids(cluster: Cluster, namespaces: Collection[str]) -> dict[str, str]:
    """Of these namespaces."""
    return {
        found["metadata"]["name"]: found["metadata"]["uid"]
        async for page in cluster.pages(NAMESPACE, metadata_only=True)
        for found in page.items
        if found["metadata"]["name"] in namespaces
    }


async def show_previews(cluster: Cluster, target: AnyTarget, lines: Sequence[RetentionLine], now: datetime) -> None:
    """Write into each policy that backs up to this target what its retention will delete next."""
    for policy in await _policies(cluster, target.metadata.namespace):
        keeps = _keeps(policy)
        if not _backs_up_to(policy, target) or not (keeps or policy.status.retention_preview):
            continue
        metadata = policy.metadata
        manifest = {
            "metadata": {"name": metadata.name, **({"namespace": metadata.namespace} if metadata.namespace else {})},
            # Without rules any more, what was foretold by them is taken back.
            "status": {"retentionPreview": preview(metadata.uid, lines, now).to_wire()} if keeps else {},
        }
        with suppress(NotFoundError):  # deleted meanwhile
            await cluster.apply(OWN_KINDS[policy.kind], manifest, subresource="status", manager=_FIELD_MANAGER)


def _keeps(policy: AnyPolicy) -> bool:
    spec = policy.spec
    return spec.retention is not None or any(tier.retention is not None for tier in spec.schedules or [])


def _backs_up_to(policy: AnyPolicy, target: AnyTarget) -> bool:
    ref = policy.spec.target_ref
    return (ref.kind, ref.name) == (target.kind, target.metadata.name)


async def _policies(cluster: Cluster, namespace: str | None) -> list[AnyPolicy]:
    """Those of a namespace, or all."""
    found: list[AnyPolicy] = [
        BackupPolicy.model_validate(each) for each in await cluster.list(BACKUP_POLICY, namespace)
    ]
    if namespace is None:
        found += [ClusterBackupPolicy.model_validate(each) for each in await cluster.list(CLUSTER_BACKUP_POLICY)]
    return found
