"""Objects of one kind as they change: one list, then one watch after another, for as long as the program runs.

Kopf would make a worker for each object of the cluster, of which few are ever ours; a label selector is heeded by the
server.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from safehold.errors import HistoryError, SafeholdError
from safehold.kube.client import Cluster, WatchEvent
from safehold.kube.kinds import Kind

logger = logging.getLogger(__name__)

WATCH_SECONDS = 120
"""How long one watch lasts: one that hangs without a word leaves out no more than that."""
RETRY_SECONDS = 5.0
REFUSED_SECONDS = 60.0
"""Before another try where a right or the kind itself is missing: somebody has to see to that first."""
_PAUSE_SECONDS = 0.2
"""Between two watches, so that a server that ends them at once is not asked without a break."""
_CHANGES = ("ADDED", "MODIFIED", "DELETED")

Take = Callable[[WatchEvent], None]
"""Takes what a list holds, as LISTED, and then every change: ADDED, MODIFIED, DELETED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects are followed."""

    kind: Kind
    namespace: str | None = None
    """All of them where there is none."""
    labels: str = ""
    """A label selector."""
    metadata_only: bool = False


async def follow(cluster: Cluster, scope: Scope, take: Take, *, since: str = "") -> None:
    """Tell of the objects until cancelled; after an interruption that lost changes all are listed again.

    With `since`, the version of a list that the caller has made, only of what changed after it.
    """
    version = since
    while True:
        try:
            if not version:
                version = await _list(cluster, scope, take)
            version = await _watch(cluster, scope, version, take)
            await asyncio.sleep(_PAUSE_SECONDS)
        except HistoryError:
            version = ""
        except SafeholdError as error:
            version = version if error.retryable else ""
            level, seconds = (logging.INFO, RETRY_SECONDS) if error.retryable else (logging.WARNING, REFUSED_SECONDS)
            logger.log(level, "%s are not followed: %s; again in %.0f s", scope.kind.plural, error, seconds)
            await asyncio.sleep(seconds)


async def _list(cluster: Cluster, scope: Scope, take: Take) -> str:
    version = ""
    pages = cluster.pages(scope.kind, scope.namespace, labels=scope.labels, metadata_only=scope.metadata_only)
    async for page in pages:
        version = page.resource_version
        for found in page.items:
            take(WatchEvent("LISTED", found))
    return version


async def _watch(cluster: Cluster, scope: Scope, since: str, take: Take) -> str:
    events = cluster.watch(
        scope.kind,
        scope.namespace,
        labels=scope.labels,
        timeout_seconds=WATCH_SECONDS,
        since=since,
        metadata_only=scope.metadata_only,
    )
    async for event in events:
        if event.type in _CHANGES:
            take(event)
        since = event.manifest["metadata"]["resourceVersion"]
    return since
