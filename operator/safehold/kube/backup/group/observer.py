"""Group snapshots as the planner sees them: what one could be taken with, and what became of the run's own."""

from collections.abc import AsyncIterator
from dataclasses import replace

from safehold.api.fallback import FallbackCapture, FallbackGroup
from safehold.api.vmbackup import VMBackup
from safehold.kube.backup.claims import observe_claim
from safehold.kube.backup.group.kinds import list_classes, served_kinds
from safehold.kube.backup.snapshots import moment, read_content, volume_snapshot_facts
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, VOLUME_SNAPSHOT
from safehold.plan.backup.capture_facts import (
    CapturedVolume,
    CaptureFacts,
    ContentFacts,
    SnapshotFacts,
    VolumeSnapshotFacts,
)
from safehold.plan.backup.group.facts import (
    GroupClassFacts,
    GroupContentFacts,
    GroupFacts,
    GroupOffer,
    GroupSnapshotFacts,
    MarkedClaim,
)
from safehold.plan.names import GROUP_MARK

DEFAULT_CLASS = "groupsnapshot.storage.kubernetes.io/is-default-class"


async def observe_offer(cluster: Cluster, *, enabled: bool) -> GroupOffer:
    """The classes, or why there can be no group in this cluster."""
    if not enabled:
        return GroupOffer(obstacle="group snapshots are switched off in this installation (fallback.groupSnapshots)")
    found = await list_classes(cluster)
    if found is None:
        return GroupOffer(obstacle="the cluster serves no VolumeGroupSnapshots")
    return GroupOffer(classes=tuple(_class_facts(item) for item in found[1]))


async def observe_group(cluster: Cluster, namespace: str, uid: str, group: FallbackGroup) -> GroupFacts:
    """The recorded group, its content, and the claims that carry the run's mark."""
    kinds = await served_kinds(cluster)
    found = await cluster.get(kinds.snapshot, group.name, namespace) if kinds else None
    snapshot = group_snapshot_facts(found) if found else None
    name = (snapshot.content if snapshot else None) or group.content
    content = await cluster.get(kinds.content, name) if kinds and name else None
    return GroupFacts(
        snapshot=snapshot,
        content=group_content_facts(content) if content else None,
        marked=await marked_claims(cluster, namespace, uid),
    )


async def marked_claims(cluster: Cluster, namespace: str | None, uid: str) -> tuple[MarkedClaim, ...]:
    """The claims of one namespace, or of all, that carry the mark of the VMBackup with this uid."""
    found = await cluster.list(CLAIM, namespace, labels={GROUP_MARK: uid})
    return tuple(
        MarkedClaim(namespace=item["metadata"]["namespace"], name=item["metadata"]["name"], mark=uid) for item in found
    )


async def observe_group_capture(
    cluster: Cluster, backup: VMBackup, fallback: FallbackCapture, facts: GroupFacts
) -> SnapshotFacts | None:
    """The members in the shape of KubeVirt's snapshots; the group stands in for what would own them there."""
    group, namespace = facts.snapshot, backup.metadata.namespace or ""
    if group is None:
        return None
    members = {
        content.source_volume_handle: (snapshot, content)
        async for snapshot, content in _members(cluster, namespace, group, facts.content)
    }
    volumes: list[CapturedVolume] = []
    for volume in fallback.volumes:
        claim = await observe_claim(cluster, namespace, volume.claim_name)
        snapshot, content = members.get(claim.volume_handle if claim else None, (None, None))
        volumes.append(
            CapturedVolume(
                name=volume.name,
                claim_name=volume.claim_name,
                claim_uid=volume.claim_uid,
                snapshot_name=snapshot.name if snapshot else "",
                claim=claim,
                snapshot=snapshot,
                content=content,
            )
        )
    return _capture(backup, fallback, group, facts.content, volumes)


def group_snapshot_facts(found: Manifest) -> GroupSnapshotFacts:
    """What the planner needs of a VolumeGroupSnapshot."""
    metadata, status = found["metadata"], found.get("status") or {}
    selector = found["spec"]["source"].get("selector") or {}
    return GroupSnapshotFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        created=moment(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        # Expressions are never ours; without labels the selector is not the one that we wrote.
        selector={} if selector.get("matchExpressions") else selector.get("matchLabels") or {},
        content=status.get("boundVolumeGroupSnapshotContentName"),
        ready=bool(status.get("readyToUse")),
        error=_error(status),
    )


def group_content_facts(found: Manifest) -> GroupContentFacts:
    """What the planner needs of a VolumeGroupSnapshotContent."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    named = spec.get("volumeGroupSnapshotRef") or {}
    return GroupContentFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        driver=spec["driver"],
        policy=spec["deletionPolicy"],
        group_namespace=named.get("namespace") or "",
        group_name=named.get("name") or "",
        group_uid=named.get("uid"),
        deleting="deletionTimestamp" in metadata,
        volume_handles=tuple(spec["source"].get("volumeHandles") or ()),
        handle=status.get("volumeGroupSnapshotHandle"),
        # As text, in whole seconds; a member's content has nanoseconds.
        cut_at=moment(status["creationTime"]) if status.get("creationTime") else None,
        error=_error(status),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


async def _members(
    cluster: Cluster, namespace: str, group: GroupSnapshotFacts, content: GroupContentFacts | None
) -> AsyncIterator[tuple[VolumeSnapshotFacts, ContentFacts]]:
    """VolumeSnapshots that the group owns, whose contents name them back and were cut with this very group.

    Anybody may write an owner into a VolumeSnapshot; nobody in the namespace may write into a content.
    """
    if content is None or content.handle is None:
        return
    for found in await cluster.list(VOLUME_SNAPSHOT, namespace):
        owners = {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []}
        snapshot = replace(volume_snapshot_facts(found), owner_uid=group.uid)
        if group.uid not in owners or snapshot.content is None:
            continue
        member = await read_content(cluster, snapshot.content)
        named = (namespace, snapshot.name, snapshot.uid)
        if member is None or member.group_handle != content.handle:
            continue
        if (member.snapshot_namespace, member.snapshot_name, member.snapshot_uid) == named:
            yield snapshot, member


def _capture(
    backup: VMBackup,
    fallback: FallbackCapture,
    group: GroupSnapshotFacts,
    content: GroupContentFacts | None,
    volumes: list[CapturedVolume],
) -> SnapshotFacts:
    cut = content is not None and content.cut_at is not None
    complaints = [
        f"{volume.name}: {volume.snapshot.error}" for volume in volumes if volume.snapshot and volume.snapshot.error
    ]
    return SnapshotFacts(
        name=group.name,
        uid=group.uid,
        vm=backup.spec.vm.name,
        created=fallback.start_time,
        deleting=group.deleting,
        succeeded=cut,
        ready=group.ready and all(volume.snapshot is not None and volume.snapshot.ready for volume in volumes),
        failure=None,
        error="; ".join([part for part in (group.error, *complaints) if part]),
        indications=(),
        capture=CaptureFacts(
            uid=group.uid,
            vm_uid=backup.status.vm_uid or "",
            disks={volume.name: volume.claim_name for volume in fallback.volumes},
            cut_time=content.cut_at if content else None,
            volumes=tuple(sorted(volumes, key=lambda volume: volume.name)),
        ),
    )


def _class_facts(found: Manifest) -> GroupClassFacts:
    metadata = found["metadata"]
    return GroupClassFacts(
        name=metadata["name"],
        driver=found["driver"],
        default=(metadata.get("annotations") or {}).get(DEFAULT_CLASS) == "true",
        policy=found["deletionPolicy"],
    )


def _error(status: Manifest) -> str:
    return str((status.get("error") or {}).get("message") or "")
