"""CDI's StorageProfiles: which VolumeSnapshotClass is preferred for a StorageClass."""

from collections.abc import Iterable

from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import STORAGE_PROFILE


async def preferred_snapshot_classes(cluster: Cluster, storage_classes: Iterable[str]) -> dict[str, str]:
    """StorageClass to the class that its profile names; KubeVirt asks it first too. Empty without CDI."""
    try:
        found = {name: await cluster.get(STORAGE_PROFILE, name) for name in sorted(set(storage_classes))}
    except NotServedError:
        return {}
    return {name: preferred for name, profile in found.items() if profile and (preferred := _preferred(profile))}


def _preferred(profile: Manifest) -> str | None:
    """CDI copies what a person wrote into `spec` to the status, at its next look."""
    for part in ("status", "spec"):
        if name := (profile.get(part) or {}).get("snapshotClass"):
            return str(name)
    return None
