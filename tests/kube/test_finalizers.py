"""Holding an object, and letting it go."""

import pytest

from safehold.api import VMBackup
from safehold.errors import ConflictError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.finalizers import add_finalizer, has_finalizer, remove_finalizer
from safehold.kube.kinds import CLAIM
from safehold.plan.names import FINALIZER


def as_resource(found: Manifest) -> VMBackup:
    """The metadata of any object, as ours are read."""
    spec = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "own"}}
    return VMBackup.model_validate({"metadata": found["metadata"], "spec": spec})


async def held(cluster: Cluster, namespace: str, *finalizers: str) -> Manifest:
    """An object with these finalizers, which somebody deletes."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "one", "namespace": namespace, "finalizers": list(finalizers)}
    await cluster.create(CLAIM, {"metadata": metadata, "spec": spec})
    await cluster.delete(CLAIM, "one", namespace)
    return await cluster.read(CLAIM, "one", namespace)


async def test_only_our_finalizer_comes_off(cluster: Cluster, namespace: str) -> None:
    """What others hold stays held; what nobody else holds goes, and letting go of it again is fine."""
    found = await held(cluster, namespace, FINALIZER, "example.com/other")
    await remove_finalizer(cluster, CLAIM, as_resource(found))
    left = await cluster.read(CLAIM, "one", namespace)
    assert FINALIZER not in left["metadata"]["finalizers"]
    assert "example.com/other" in left["metadata"]["finalizers"]
    await cluster.merge_patch(CLAIM, "one", namespace, {"metadata": {"finalizers": None}})
    assert await cluster.get(CLAIM, "one", namespace) is None
    await remove_finalizer(cluster, CLAIM, as_resource(found))


async def test_another_object_of_the_same_name_keeps_its_finalizer(cluster: Cluster, namespace: str) -> None:
    """The uid decides."""
    found = await held(cluster, namespace, FINALIZER)
    earlier = as_resource({"metadata": {**found["metadata"], "uid": "an-earlier-one"}})
    await remove_finalizer(cluster, CLAIM, earlier)
    assert FINALIZER in (await cluster.read(CLAIM, "one", namespace))["metadata"]["finalizers"]


async def test_our_finalizer_is_added_to_what_was_read(cluster: Cluster, namespace: str) -> None:
    """Beside those of others; what changed meanwhile, or is being deleted, is not touched."""
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    metadata = {"name": "one", "namespace": namespace, "finalizers": ["example.com/other"]}
    found = await cluster.create(CLAIM, {"metadata": metadata, **claim})
    await add_finalizer(cluster, CLAIM, found)
    after = await cluster.read(CLAIM, "one", namespace)
    assert has_finalizer(after)
    assert set(after["metadata"]["finalizers"]) >= {"example.com/other", FINALIZER}
    with pytest.raises(ConflictError):
        await add_finalizer(cluster, CLAIM, found)
    await cluster.delete(CLAIM, "one", namespace)
    with pytest.raises(ConflictError):
        await add_finalizer(cluster, CLAIM, after)
