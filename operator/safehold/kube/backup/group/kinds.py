"""The kinds of group snapshots, in the version that the cluster serves.

v1 came with external-snapshotter 8.6, v1beta2 with 8.4, v1beta1 with 8.2. What is read and written here is alike in
all of them.
"""

from dataclasses import dataclass

from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import Kind

GROUP = "groupsnapshot.storage.k8s.io"
VERSIONS = ("v1", "v1beta2", "v1beta1")
"""Newest first."""


@dataclass(frozen=True, slots=True)
class GroupKinds:
    """VolumeGroupSnapshot, VolumeGroupSnapshotContent and VolumeGroupSnapshotClass of one version."""

    snapshot: Kind
    content: Kind
    snapshot_class: Kind


def kinds_of(version: str) -> GroupKinds:
    """The kinds of one version."""
    return GroupKinds(
        snapshot=Kind(GROUP, version, "volumegroupsnapshots", "VolumeGroupSnapshot"),
        content=Kind(GROUP, version, "volumegroupsnapshotcontents", "VolumeGroupSnapshotContent", namespaced=False),
        snapshot_class=Kind(GROUP, version, "volumegroupsnapshotclasses", "VolumeGroupSnapshotClass", namespaced=False),
    )


async def list_classes(cluster: Cluster) -> tuple[GroupKinds, list[Manifest]] | None:
    """The newest version that is served, with its classes; None where group snapshots are not installed."""
    for version in VERSIONS:
        kinds = kinds_of(version)
        try:
            return kinds, await cluster.list(kinds.snapshot_class)
        except NotServedError:
            continue
    return None


async def served_kinds(cluster: Cluster) -> GroupKinds | None:
    """The kinds alone."""
    found = await list_classes(cluster)
    return found[0] if found else None


async def required_kinds(cluster: Cluster) -> GroupKinds:
    """The kinds of a cluster that had them a moment ago; NotServedError otherwise."""
    found = await served_kinds(cluster)
    if found is None:
        raise NotServedError(
            f"the Kubernetes API does not serve {GROUP}",
            expected=f"one of the versions {', '.join(VERSIONS)}",
            remedy="install the definitions of the CSI snapshot controller again",
        )
    return found
