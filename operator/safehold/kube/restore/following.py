"""A VMRestore as it changes, for somebody who looks on."""

import asyncio
from collections.abc import AsyncIterator

from safehold.api import VMRestore
from safehold.errors import ClusterError, NotFoundError
from safehold.kube.client import Cluster
from safehold.kube.kinds import VM_RESTORE
from safehold.plan.conditions import is_finished

_WATCH_SECONDS = 60
"""How long one watch lasts: one that hangs without a word leaves out no more than that."""
_PAUSE_SECONDS = 2.0
_ATTEMPTS = 15
"""Watches in a row that may fail: half a minute without an API server, as while it is upgraded."""


async def read_restore(cluster: Cluster, namespace: str, name: str) -> VMRestore:
    """The VMRestore; NotFoundError when there is none."""
    return VMRestore.model_validate(await cluster.read(VM_RESTORE, name, namespace))


def has_ended(restore: VMRestore) -> bool:
    """Whether nothing goes on any more. What was just asked for, as `undo`, may not have been looked at yet."""
    is_seen = restore.status.observed_generation == restore.metadata.generation
    return is_seen and is_finished(restore.status.conditions)


async def follow_restore(cluster: Cluster, namespace: str, name: str) -> AsyncIterator[VMRestore]:
    """The VMRestore now and after each change, until it has ended. NotFoundError when there is none, or no more."""
    failed = 0
    while True:
        try:
            restore = await read_restore(cluster, namespace, name)
            yield restore
            if has_ended(restore):
                return
            async for changed in _changes(cluster, restore):
                failed = 0
                yield changed
                if has_ended(changed):
                    return
        except ClusterError as error:
            failed += 1
            if not error.retryable or failed == _ATTEMPTS:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


async def _changes(cluster: Cluster, restore: VMRestore) -> AsyncIterator[VMRestore]:
    """From the version that was read on, so that no change between reading and watching is missed."""
    metadata = restore.metadata
    async for event in cluster.watch(
        VM_RESTORE,
        metadata.namespace,
        fields=f"metadata.name={metadata.name}",
        timeout_seconds=_WATCH_SECONDS,
        since=metadata.resource_version or "",
    ):
        if event.type == "DELETED":
            raise NotFoundError(f"VMRestore {metadata.namespace}/{metadata.name} was deleted")
        if event.type != "BOOKMARK":
            yield VMRestore.model_validate(event.manifest)
