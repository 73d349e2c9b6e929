"""Our finalizer: on an object that must not go before it is cleaned up, and off when it may."""

from contextlib import suppress

from safehold.api.base import Resource
from safehold.errors import NotFoundError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import Kind
from safehold.plan.names import FINALIZER


def has_finalizer(found: Manifest) -> bool:
    """Whether ours is on it."""
    return FINALIZER in (found["metadata"].get("finalizers") or ())


async def add_finalizer(cluster: Cluster, kind: Kind, found: Manifest) -> None:
    """Put ours on an object as it was read; a ConflictError if it changed since, also if somebody deleted it."""
    await _write(cluster, kind, found, [*(found["metadata"].get("finalizers") or ()), FINALIZER])


async def remove_finalizer(cluster: Cluster, kind: Kind, resource: Resource) -> None:
    """Take ours off; a ConflictError if somebody else changes them at the same time."""
    metadata = resource.metadata
    found = await cluster.get(kind, metadata.name, metadata.namespace)
    if found is None or found["metadata"]["uid"] != metadata.uid or not has_finalizer(found):
        return
    with suppress(NotFoundError):  # somebody was quicker
        await _write(cluster, kind, found, [name for name in found["metadata"]["finalizers"] if name != FINALIZER])


async def _write(cluster: Cluster, kind: Kind, found: Manifest, finalizers: list[str]) -> None:
    metadata = found["metadata"]
    guard = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    patch = {"metadata": {**guard, "finalizers": finalizers}}
    await cluster.merge_patch(kind, metadata["name"], metadata.get("namespace"), patch)
