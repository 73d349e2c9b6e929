"""Claims that ask to be filled from a VMBackup, out of all claims of the cluster: one list and one watch of them.

Nothing is kept of the others. Kopf would make a worker for each claim of the cluster, of which few are ever ours.
"""

import asyncio
import logging
from collections.abc import Callable

from safehold.errors import HistoryError, SafeholdError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, GROUP, VM_BACKUP

logger = logging.getLogger(__name__)

WATCH_SECONDS = 120
"""How long one watch lasts: one that hangs without a word leaves out no more than that."""
RETRY_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
"""Between two watches, so that a server that ends them at once is not asked without a break."""

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
    """Tell of claims until cancelled; after an interruption all are told of again."""
    version = ""
    while True:
        try:
            if not version:
                version = await _list(cluster, tell)
            version = await _follow(cluster, version, tell)
            await asyncio.sleep(_PAUSE_SECONDS)
        except HistoryError:
            version = ""
        except SafeholdError as error:
            version = version if error.retryable else ""
            logger.info("claims are not followed: %s; again in %.0f s", error, RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)


async def _list(cluster: Cluster, tell: Tell) -> str:
    version = ""
    async for page in cluster.pages(CLAIM):
        version = page.resource_version
        for found in page.items:
            _tell(found, tell)
    return version


async def _follow(cluster: Cluster, since: str, tell: Tell) -> str:
    async for event in cluster.watch(CLAIM, since=since, timeout_seconds=WATCH_SECONDS):
        if event.type in ("ADDED", "MODIFIED", "DELETED"):
            _tell(event.manifest, tell)
        since = event.manifest["metadata"]["resourceVersion"]
    return since


def _tell(claim: Manifest, tell: Tell) -> None:
    if backup_of(claim) is not None:
        tell(claim["metadata"]["namespace"], claim["metadata"]["name"])
