"""Claims that ask to be filled from a VMBackup, out of all claims of the cluster. Nothing is kept of the others."""

from collections.abc import Callable

from safehold.kube.client import Cluster, Manifest, WatchEvent
from safehold.kube.following import Scope, follow
from safehold.kube.kinds import CLAIM, GROUP, VM_BACKUP

Tell = Callable[[str, str], None]
"""Takes namespace and name of a claim that asks to be filled, and appeared, changed or went."""


def backup_of(claim: Manifest) -> str | None:
    """The VMBackup that a claim names as its source; None where it names none.

    Only `dataSourceRef` counts: Kubernetes drops a foreign kind from `dataSource`, and makes an empty volume.
    """
    source = claim["spec"].get("dataSourceRef") or {}
    if (source.get("apiGroup"), source.get("kind")) != (GROUP, VM_BACKUP.kind):
        return None
    return str(source["name"])


async def follow_requests(cluster: Cluster, tell: Tell) -> None:
    """Tell of claims until cancelled; after an interruption that lost changes all are told of again."""

    def take(event: WatchEvent) -> None:
        metadata = event.manifest["metadata"]
        if backup_of(event.manifest) is not None:
            tell(metadata["namespace"], metadata["name"])

    await follow(cluster, Scope(kind=CLAIM), take)
