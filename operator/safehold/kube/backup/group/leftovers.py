"""What runs left of their group snapshots: groups, held contents, and marks on the claims of VMs."""

from dataclasses import dataclass

from safehold.api.fallback import FallbackGroup
from safehold.kube.backup.group.kinds import GroupKinds, served_kinds
from safehold.kube.backup.group.observer import group_content_facts, marked_claims
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM
from safehold.plan.backup.group.facts import GroupContentFacts, MarkedClaim
from safehold.plan.backup.memory_facts import TenantObject
from safehold.plan.names import GROUP_MARK, MANAGED_BY, MANAGER, OWNER_KIND, OWNER_UID, children_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLeftovers:
    """Everything of one run's group."""

    groups: tuple[TenantObject, ...] = ()
    contents: tuple[GroupContentFacts, ...] = ()
    marked: tuple[MarkedClaim, ...] = ()


async def observe_group_leftovers(
    cluster: Cluster, uid: str, namespace: str | None, recorded: FallbackGroup | None
) -> GroupLeftovers:
    """Of the run with this uid, in one namespace or in all. `recorded` also finds a held content without its labels."""
    marked = await marked_claims(cluster, namespace, uid)
    kinds = await served_kinds(cluster)
    if kinds is None:
        return GroupLeftovers(marked=marked)
    mine = children_of(uid)
    groups = [item["metadata"] for item in await cluster.list(kinds.snapshot, namespace, labels=mine)]
    held = {item["metadata"]["name"]: item for item in await cluster.list(kinds.content, labels=mine)}
    if lost := await _lost_hold(cluster, kinds, recorded):
        held.setdefault(lost["metadata"]["name"], lost)
    contents = [group_content_facts(item) for item in held.values()]
    return GroupLeftovers(
        groups=tuple(TenantObject(namespace=m["namespace"], name=m["name"], uid=m["uid"]) for m in groups),
        contents=tuple(content for content in contents if not content.deleting),
        marked=marked,
    )


async def list_group_objects(cluster: Cluster) -> list[Manifest]:
    """All groups and contents that carry our label; none where the kinds are not served."""
    kinds = await served_kinds(cluster)
    if kinds is None:
        return []
    ours = {MANAGED_BY: MANAGER}
    return [*await cluster.list(kinds.snapshot, labels=ours), *await cluster.list(kinds.content, labels=ours)]


async def list_marked(cluster: Cluster) -> list[Manifest]:
    """All claims that carry a mark, of whichever VMBackup."""
    return await cluster.list(CLAIM, labels=GROUP_MARK)


async def owners_of_groups(cluster: Cluster) -> set[str]:
    """The uids of the VMBackups that groups, held contents and marks say they belong to."""
    objects = (item["metadata"]["labels"] for item in await list_group_objects(cluster))
    owners = {labels.get(OWNER_UID) for labels in objects if labels.get(OWNER_KIND) == "VMBackup"}
    marks = {item["metadata"]["labels"][GROUP_MARK] for item in await list_marked(cluster)}
    return {owner for owner in owners | marks if owner}


async def _lost_hold(cluster: Cluster, kinds: GroupKinds, recorded: FallbackGroup | None) -> Manifest | None:
    """The recorded content, if it is still held though somebody took its labels away."""
    if recorded is None or recorded.content is None:
        return None
    found = await cluster.get(kinds.content, recorded.content)
    if found is None or found["metadata"]["uid"] != recorded.content_uid:
        return None
    return found if found["spec"]["deletionPolicy"] != recorded.original_deletion_policy else None
