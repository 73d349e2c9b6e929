"""The Secret in which a restore keeps what it replaces: users of the namespace can write to it."""

import base64
import json
from typing import Any

import pytest

from safehold.api import VMRestore
from safehold.kube.client import Cluster
from safehold.kube.jobs import WorkerPod
from safehold.kube.kinds import CONFIG_MAP, SECRET
from safehold.kube.restore.hands import RestoreHands
from safehold.kube.restore.replaced import read_saved_objects
from safehold.plan.restore.steps import SaveObjects

SETTINGS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "labels": {"app": "orders"}},
    "data": {"colour": "red"},
}
BINDING: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "mine"},
}
TOKEN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "settings"},
    "type": "kubernetes.io/service-account-token",
}
ELSEWHERE: dict[str, Any] = {**SETTINGS, "metadata": {"name": "settings", "namespace": "kube-system"}}


def restore(namespace: str) -> VMRestore:
    """A VMRestore that has recorded that it replaces ConfigMap settings."""
    return VMRestore.model_validate(
        {
            "metadata": {"name": "back", "namespace": namespace, "uid": "restore-uid"},
            "spec": {"source": {"backup": "b"}, "target": {"mode": "NewVM", "name": "orders"}},
            "status": {"replacedObjects": ["ConfigMap settings"], "replacedObjectsSecret": "kept"},
        }
    )


def hands(cluster: Cluster, namespace: str, pod: WorkerPod) -> RestoreHands:
    """The writes of a restore into the namespace."""
    return RestoreHands(operator=cluster, tenant=cluster, namespace=namespace, pod=pod)


@pytest.fixture
def pod() -> WorkerPod:
    """What no step here looks at."""
    return WorkerPod(
        namespace="safehold",
        image="safehold",
        command=(),
        service_account="worker",
        changed_blocks_account="worker",
        cpu_request="1",
        memory_request="1Mi",
        memory_limit="1Mi",
        deadline_seconds=60,
        backoff_limit=0,
    )


async def test_what_is_kept_first_stays(cluster: Cluster, namespace: str, pod: WorkerPod) -> None:
    """Repeated after a kill, when the object is replaced already, the step does not overwrite what it kept."""
    await cluster.create(CONFIG_MAP, {**SETTINGS, "metadata": {**SETTINGS["metadata"], "namespace": namespace}})
    for manifest in (SETTINGS, {**SETTINGS, "data": {"colour": "blue"}}):
        step = SaveObjects("kept", "back", "restore-uid", [manifest])
        await hands(cluster, namespace, pod).carry_out(step)
    saved = await read_saved_objects(cluster, restore(namespace))
    assert saved is not None
    assert saved["ConfigMap", "settings"]["data"] == {"colour": "red"}
    assert saved["ConfigMap", "settings"]["metadata"]["namespace"] == namespace
    kept = await cluster.read(SECRET, "kept", namespace)
    assert [owner["uid"] for owner in kept["metadata"]["ownerReferences"]] == ["restore-uid"]


@pytest.mark.parametrize("forged", [[BINDING], [TOKEN], [{**SETTINGS, "metadata": {"name": "other"}}], "no list", [7]])
async def test_what_somebody_wrote_there_is_not_created(cluster: Cluster, namespace: str, forged: Any) -> None:
    """Only what the status names, of kinds that a restore creates, and in its own namespace."""
    content = base64.b64encode(json.dumps(forged).encode()).decode()
    labels = {"safehold.dev/restored-by": "restore-uid"}
    secret = {"metadata": {"name": "kept", "namespace": namespace, "labels": labels}, "data": {"objects.json": content}}
    await cluster.create(SECRET, secret)
    assert await read_saved_objects(cluster, restore(namespace)) == {}


async def test_nothing_is_put_back_into_another_namespace(cluster: Cluster, namespace: str) -> None:
    """Whatever the kept object says; and a Secret without the restore's mark is none of its."""
    content = base64.b64encode(json.dumps([ELSEWHERE]).encode()).decode()
    secret: dict[str, Any] = {"metadata": {"name": "kept", "namespace": namespace}, "data": {"objects.json": content}}
    await cluster.create(SECRET, secret)
    assert await read_saved_objects(cluster, restore(namespace)) is None
    patch = {"metadata": {"labels": {"safehold.dev/restored-by": "restore-uid"}}}
    await cluster.merge_patch(SECRET, "kept", namespace, patch)
    saved = await read_saved_objects(cluster, restore(namespace))
    assert saved is not None
    assert saved["ConfigMap", "settings"]["metadata"]["namespace"] == namespace
