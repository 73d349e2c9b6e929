"""What runs left in the cluster, found by the labels that everything of a run carries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from safehold.api.capture import SnapshotHandle
from safehold.api.fallback import FallbackGroup
from safehold.kube.backup.changed_blocks import list_bases
from safehold.kube.backup.claims import clone_facts
from safehold.kube.backup.group.leftovers import GroupLeftovers, observe_group_leftovers, owners_of_groups
from safehold.kube.backup.memory import dumps_of
from safehold.kube.backup.pull.observer import list_pull_backups
from safehold.kube.backup.snapshots import content_facts, read_content, read_volume_snapshot, volume_snapshot_facts
from safehold.kube.client import Cluster, Manifest
from safehold.kube.job_facts import pod_facts
from safehold.kube.kinds import (
    CLAIM,
    JOB,
    POD,
    SECRET,
    VM_SNAPSHOT,
    VOLUME,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)
from safehold.plan.backup.capture_facts import ContentFacts, ContentPolicy, VolumeSnapshotFacts
from safehold.plan.backup.changes_facts import BaseFacts
from safehold.plan.backup.facts import Leftovers, OriginalFacts, RetainedVolume, VMSnapshotRef
from safehold.plan.backup.memory_facts import TenantObject
from safehold.plan.names import BASE_OF, MANAGED_BY, MANAGER, ORIGINAL_POLICY, OWNER_KIND, OWNER_UID, children_of
from safehold.plan.populate.facts import CLAIM_KIND


async def observe_leftovers(
    cluster: Cluster,
    uid: str,
    *,
    operator_namespace: str,
    namespace: str | None,
    handles: Sequence[SnapshotHandle] = (),
    pulls: bool = False,
    groups: bool = False,
    group: FallbackGroup | None = None,
    claim_uids: Iterable[str] = (),
    beside: bool = True,
) -> Leftovers:
    """Everything of the run with this uid. VirtualMachineSnapshots are looked for in `namespace`, or in all.

    `handles` also finds held contents whose labels somebody took away, `claim_uids` the bases that earlier runs kept.
    The run's own bases are none of its leftovers. `beside`: whether the run may have made claims and VolumeSnapshots in
    the VM's namespace, as those do that capture without KubeVirt's snapshot or dump memory. `pulls`: also backups of
    KubeVirt's own. `groups`: also group snapshots; the recorded `group` finds a held content like `handles` do.

    It looks in the order in which `safehold.plan.backup.cleanup` takes things away, and no further than to what has to
    go before the rest: a run's clean-up is half a dozen looks, of which one is at everything.
    """
    look = _Look(cluster, children_of(uid), operator_namespace, namespace, beside)
    of_group = await observe_group_leftovers(cluster, uid, namespace, group) if groups else GroupLeftovers()
    found = await look.workers(of_group)
    if found.jobs or found.pods:
        return found
    claims, elsewhere = await look.claims()
    found = replace(
        found,
        clones=tuple(clone_facts(item) for item in claims),
        pull_backups=await look.pull_backups() if pulls else (),
        retained_volumes=await _retained(cluster, {item["metadata"]["uid"]: item for item in (*claims, *elsewhere)}),
    )
    if found.clones:
        return found
    contents, bases = await look.contents()
    found = replace(
        found,
        pair_snapshots=await look.pair_snapshots(bases),
        pair_contents=tuple(content for content in contents if content.snapshot_namespace == operator_namespace),
        originals=await _originals(cluster, contents, handles, operator_namespace=operator_namespace),
    )
    # Where a pair becomes a base, what is done about it depends on the captures too.
    if (found.pair_snapshots or found.pair_contents) and not any(handle.kept_as_base for handle in handles):
        return found
    found = await look.captures(found, elsewhere)
    if not _is_all_but_over(found):
        return found
    return replace(found, old_bases=await _old_bases(cluster, claim_uids, bases, operator_namespace=operator_namespace))


def _is_all_but_over(found: Leftovers) -> bool:
    """Whether nothing is left but snapshots that are on their way: then the bases of earlier runs may go."""
    left = replace(found, vm_snapshots=tuple(each for each in found.vm_snapshots if each.deleted_at is None))
    return left == Leftovers()


@dataclass(frozen=True, slots=True)
class _Look:
    """The lists of one run's objects, by the labels that they carry."""

    cluster: Cluster
    mine: str
    operator_namespace: str
    namespace: str | None
    beside: bool

    async def workers(self, group: GroupLeftovers) -> Leftovers:
        jobs, pods = await self._ours(JOB), await self._ours(POD)
        return Leftovers(
            jobs=tuple(_names(jobs)),
            pods=tuple(pod_facts(found) for found in pods),
            groups=group.groups,
            group_contents=group.contents,
            marked_claims=group.marked,
        )

    async def captures(self, found: Leftovers, elsewhere: list[Manifest]) -> Leftovers:
        """With what the capture itself made; `elsewhere` are the claims in the VM's namespace."""
        tenant_claims = _outside(self.operator_namespace, elsewhere)
        return replace(
            found,
            vm_snapshots=await self.vm_snapshots(),
            memory_dumps=await dumps_of(self.cluster, tenant_claims),
            tenant_snapshots=await self.tenant_snapshots(),
            tenant_claims=tenant_claims,
            secrets=await self.secrets(),
        )

    async def claims(self) -> tuple[list[Manifest], list[Manifest]]:
        """Those in the operator's namespace, and those in the VM's."""
        return await self._ours(CLAIM), await self._theirs(CLAIM) if self.beside else []

    async def pull_backups(self) -> tuple[TenantObject, ...]:
        return _outside(self.operator_namespace, await list_pull_backups(self.cluster, self.namespace, self.mine))

    async def contents(self) -> tuple[list[ContentFacts], set[str]]:
        """Without those that are kept as bases, whose names come apart."""
        listed = await self.cluster.list(VOLUME_SNAPSHOT_CONTENT, labels=self.mine)
        contents = [content_facts(found) for found in listed]
        bases = {content.name for content in contents if BASE_OF in content.labels}
        return [content for content in contents if content.name not in bases], bases

    async def pair_snapshots(self, bases: set[str]) -> tuple[VolumeSnapshotFacts, ...]:
        listed = await self._ours(VOLUME_SNAPSHOT)
        return tuple(volume_snapshot_facts(found) for found in listed if found["metadata"]["name"] not in bases)

    async def vm_snapshots(self) -> tuple[VMSnapshotRef, ...]:
        return tuple(_snapshot_ref(found) for found in await self._theirs(VM_SNAPSHOT))

    async def tenant_snapshots(self) -> tuple[TenantObject, ...]:
        return _outside(self.operator_namespace, await self._theirs(VOLUME_SNAPSHOT)) if self.beside else ()

    async def secrets(self) -> tuple[str, ...]:
        return tuple(_names(await self._ours(SECRET)))

    async def _ours(self, kind: Kind) -> list[Manifest]:
        return await self.cluster.list(kind, self.operator_namespace, labels=self.mine)

    async def _theirs(self, kind: Kind) -> list[Manifest]:
        return await self.cluster.list(kind, self.namespace, labels=self.mine)


async def owners_of_leftovers(
    cluster: Cluster, *, operator_namespace: str, pulls: bool = False, groups: bool = False
) -> set[str]:
    """The uids of all objects of ours that anything says it belongs to; in other namespaces, of VMBackups only.

    Not of claims that are filled: what is left of those goes in an order of its own (`plan.populate`).
    """
    ours = {MANAGED_BY: MANAGER}
    found: list[Manifest] = []
    for kind in (JOB, SECRET, CLAIM, VOLUME_SNAPSHOT):
        found += await cluster.list(kind, operator_namespace, labels=ours)
    for kind in (VOLUME_SNAPSHOT_CONTENT, VM_SNAPSHOT, VOLUME_SNAPSHOT, CLAIM):
        found += await cluster.list(kind, labels={**ours, OWNER_KIND: "VMBackup"})
    if pulls:
        found += await list_pull_backups(cluster, None, {**ours, OWNER_KIND: "VMBackup"})
    bases = {item["metadata"]["name"] for item in found if BASE_OF in item["metadata"]["labels"]}
    of_groups = await owners_of_groups(cluster) if groups else set()
    return of_groups | {
        owner
        for item in found
        if (owner := item["metadata"]["labels"].get(OWNER_UID))
        and item["metadata"]["name"] not in bases
        and item["metadata"]["labels"].get(OWNER_KIND) != CLAIM_KIND
    }


async def _old_bases(
    cluster: Cluster, claim_uids: Iterable[str], own: set[str], *, operator_namespace: str
) -> tuple[BaseFacts, ...]:
    claims = set(claim_uids)
    found = await list_bases(cluster, claims, operator_namespace=operator_namespace) if claims else ()
    return tuple(base for base in found if base.name not in own)


async def _originals(
    cluster: Cluster, contents: Iterable[ContentFacts], handles: Sequence[SnapshotHandle], *, operator_namespace: str
) -> tuple[OriginalFacts, ...]:
    """Of the run's contents those that it holds; also recorded ones whose labels somebody took away."""
    held = {content.name: content for content in contents if content.snapshot_namespace != operator_namespace}
    policies: dict[str, ContentPolicy] = {handle.content: handle.original_deletion_policy for handle in handles}
    for handle in handles:
        content = await read_content(cluster, handle.content) if handle.content not in held else None
        known = content is not None and content.uid == handle.content_uid
        if content is not None and known and (handle.kept_as_base or content.policy != policies[content.name]):
            held[content.name] = content
    return tuple([await _original(cluster, content, policies) for content in held.values() if not content.deleting])


async def _original(cluster: Cluster, content: ContentFacts, policies: dict[str, ContentPolicy]) -> OriginalFacts:
    snapshot = await read_volume_snapshot(cluster, content.snapshot_name, content.snapshot_namespace)
    lives = snapshot is not None and snapshot.uid == content.snapshot_uid and not snapshot.deleting
    marked: ContentPolicy = "Retain" if content.annotations.get(ORIGINAL_POLICY) == "Retain" else "Delete"
    return OriginalFacts(content=content, policy=policies.get(content.name, marked), snapshot_lives=lives)


async def _retained(cluster: Cluster, claims: Mapping[str, Manifest]) -> tuple[RetainedVolume, ...]:
    """Of the volumes under claims of ours, by the claims' uids, those that would stay. A volume names its claim."""
    found: list[RetainedVolume] = []
    for uid, claim in claims.items():
        name = claim["spec"].get("volumeName")
        volume = await cluster.get(VOLUME, name) if name else None
        if volume is None or (volume["spec"].get("claimRef") or {}).get("uid") != uid:
            continue
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            found.append(RetainedVolume(name=name, uid=volume["metadata"]["uid"]))
    return tuple(found)


def _outside(operator_namespace: str, found: list[Manifest]) -> tuple[TenantObject, ...]:
    return tuple(
        TenantObject(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        for metadata in (item["metadata"] for item in found)
        if metadata["namespace"] != operator_namespace
    )


def _names(found: list[Manifest]) -> list[str]:
    return [item["metadata"]["name"] for item in found]


def _snapshot_ref(found: Manifest) -> VMSnapshotRef:
    metadata = found["metadata"]
    deletion = metadata.get("deletionTimestamp")
    return VMSnapshotRef(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        deleted_at=datetime.fromisoformat(deletion) if deletion else None,
    )
