"""Making and deleting the pods of a controller, with the events that go with it."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ForbiddenError, InvalidError
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import POD


def owner_keys(kind: str) -> Callable[[Object], list[Key]]:
    """Maps an object to the owner of that kind that controls it."""

    def keys(obj: Object) -> list[Key]:
        owners = obj["metadata"].get("ownerReferences") or []
        namespace = obj["metadata"].get("namespace", "")
        return [(namespace, owner["name"]) for owner in owners if owner.get("controller") and owner["kind"] == kind]

    return keys


async def create_pod(cluster: Cluster, owner: Object, pod: Object, component: str) -> None:
    """Creates it; a refusal (quota, admission) is shown as an event of the owner and raised again."""
    try:
        created = await cluster.create(POD, pod)
    except (ForbiddenError, InvalidError) as error:
        await cluster.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}", component)
        raise
    message = f"Created pod: {created['metadata']['name']}"
    await cluster.event(owner, "Normal", "SuccessfulCreate", message, component)


async def delete_pod(cluster: Cluster, owner: Object, pod: Object, component: str) -> None:
    """Asks for the pod's deletion with its own grace period."""
    metadata = pod["metadata"]
    await cluster.delete(POD, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    await cluster.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}", component)
