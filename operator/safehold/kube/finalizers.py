"""Letting an object in deletion go: our finalizer comes off."""

from contextlib import suppress

from safehold.api.base import Resource
from safehold.errors import NotFoundError
from safehold.kube.client import Cluster
from safehold.kube.kinds import Kind
from safehold.plan.names import FINALIZER


async def remove_finalizer(cluster: Cluster, kind: Kind, resource: Resource) -> None:
    """Take our finalizer off; a ConflictError if somebody else changes them at the same time.

    Kopf puts it on, and would take it off only after the next event about the object.
    """
    metadata = resource.metadata
    found = await cluster.get(kind, metadata.name, metadata.namespace)
    if found is None or found["metadata"]["uid"] != metadata.uid:
        return
    held = found["metadata"].get("finalizers") or []
    if FINALIZER not in held:
        return
    kept = [name for name in held if name != FINALIZER]
    guard = {"uid": metadata.uid, "resourceVersion": found["metadata"]["resourceVersion"]}
    with suppress(NotFoundError):  # Kopf was quicker
        await cluster.merge_patch(kind, metadata.name, metadata.namespace, {"metadata": {**guard, "finalizers": kept}})
