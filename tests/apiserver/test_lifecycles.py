"""What the server's own controllers do: garbage collection, namespaces that end, definitions that go."""

from typing import Any

import pytest

from .conftest import JSON_PATCH, MERGE, Api, gone, until


def owner(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An ownerReference to a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": item["metadata"]["name"],
        "uid": item["metadata"]["uid"],
        **more,
    }


async def child_of(api: Api, namespace: str, name: str, *owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A new ConfigMap with owners."""
    body = {"metadata": {"name": name, "ownerReferences": list(owners), **metadata}}
    return await api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)


async def test_dependents_follow_their_owner(api: Api, namespace: str) -> None:
    """Background deletion: the owner goes at once, its dependents and theirs follow."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    parent = await child_of(api, namespace, "parent")
    child = await child_of(api, namespace, "child", owner(parent))
    await child_of(api, namespace, "grandchild", owner(child))
    await api.send("DELETE", f"{path}/parent")
    await gone(api, f"{path}/child")
    await gone(api, f"{path}/grandchild")


async def test_foreground_deletion_waits(api: Api, namespace: str) -> None:
    """Foreground deletion: the owner stays until its blocking dependents are gone."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    parent = await child_of(api, namespace, "parent")
    await child_of(api, namespace, "child", owner(parent, blockOwnerDeletion=True), finalizers=["example.com/hold"])
    deleted = await api.send("DELETE", f"{path}/parent", {"propagationPolicy": "Foreground"})
    assert deleted.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await until(api, f"{path}/child", lambda _, body: "deletionTimestamp" in body.get("metadata", {}))
    assert (await api.get(f"{path}/parent")).code == 200
    await api.send("PATCH", f"{path}/child", {"metadata": {"finalizers": None}}, MERGE)
    await gone(api, f"{path}/parent")


async def test_orphans_stay(api: Api, namespace: str) -> None:
    """Orphan deletion: dependents stay and lose the reference."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    parent = await child_of(api, namespace, "parent")
    await child_of(api, namespace, "child", owner(parent))
    await api.send("DELETE", f"{path}/parent", {"propagationPolicy": "Orphan"})
    await gone(api, f"{path}/parent")
    assert "ownerReferences" not in (await api.get(f"{path}/child")).body["metadata"]


async def test_owner_in_another_namespace(api: Api, namespace: str) -> None:
    """A child whose owner lives in another namespace is deleted, with the recorded Warning."""
    other = f"{namespace}-other"
    await api.create("/api/v1/namespaces", {"metadata": {"name": other}})
    parent = await child_of(api, other, "parent")
    await child_of(api, namespace, "child", owner(parent))
    await gone(api, f"/api/v1/namespaces/{namespace}/configmaps/child")
    events = (await api.get(f"/api/v1/namespaces/{namespace}/events")).body["items"]
    uid = parent["metadata"]["uid"]
    identity = f"[v1/ConfigMap, namespace: {namespace}, name: parent, uid: {uid}]"
    message = f'ownerRef {identity} does not exist in namespace "{namespace}"'
    assert [(event["reason"], event["message"]) for event in events] == [("OwnerRefInvalidNamespace", message)]


async def test_one_valid_owner_keeps_a_child(api: Api, namespace: str) -> None:
    """With a valid owner besides, only the bad reference goes."""
    parent = await child_of(api, namespace, "parent")
    dead = {"apiVersion": "v1", "kind": "ConfigMap", "name": "dead", "uid": "0000"}
    await child_of(api, namespace, "child", owner(parent), dead)
    path = f"/api/v1/namespaces/{namespace}/configmaps/child"
    body = await until(api, path, lambda _, body: len(body["metadata"].get("ownerReferences", ())) == 1)
    assert body["metadata"]["ownerReferences"] == [owner(parent)]


async def test_cluster_scoped_child_stays(api: Api, namespace: str) -> None:
    """A cluster-scoped child of a namespaced owner is never collected; a Warning in `default` tells of it."""
    parent = await child_of(api, namespace, "parent")
    body = {"metadata": {"name": f"child-{namespace}", "ownerReferences": [owner(parent)]}, "value": 1}
    await api.create("/apis/scheduling.k8s.io/v1/priorityclasses", body)
    await api.send("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/parent")
    query = f"fieldSelector=involvedObject.name=child-{namespace}"
    await until(api, f"/api/v1/namespaces/default/events?{query}", lambda _, body: bool(body.get("items")))
    assert (await api.get(f"/apis/scheduling.k8s.io/v1/priorityclasses/child-{namespace}")).code == 200


async def test_namespaces_end(api: Api, namespace: str) -> None:
    """A deleted namespace refuses creates, says what is left, and goes when the last finalizer does."""
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(configmaps, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    deleted = (await api.send("DELETE", f"/api/v1/namespaces/{namespace}")).body
    assert deleted["status"]["phase"] == "Terminating"
    refused = await api.send("POST", configmaps, {"metadata": {"name": "y"}})
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    assert refused.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "y" is forbidden: {why}',
        "reason": "Forbidden",
        "details": {
            "name": "y",
            "kind": "configmaps",
            "causes": [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ],
        },
        "code": 403,
    }

    def waits(_: int, body: dict[str, Any]) -> bool:
        messages = {each["type"]: each["message"] for each in body.get("status", {}).get("conditions", ())}
        return messages.get("NamespaceFinalizersRemaining") == (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        ) and messages["NamespaceContentRemaining"] == (
            "Some resources are remaining: configmaps. has 1 resource instances"
        )

    await until(api, f"/api/v1/namespaces/{namespace}", waits)
    await api.send("PATCH", f"{configmaps}/held", [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)
    await gone(api, f"/api/v1/namespaces/{namespace}")


@pytest.mark.parametrize("name", ["default", "kube-system"])
async def test_standard_namespaces_stay(api: Api, name: str) -> None:
    """The namespaces that a cluster cannot be without may not be deleted."""
    answer = await api.send("DELETE", f"/api/v1/namespaces/{name}")
    assert answer.body["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_every_namespace_is_furnished(api: Api, namespace: str) -> None:
    """A namespace has a default service account and the CA; a deleted one comes back."""
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    first = await until(api, account, lambda code, _: code == 200)
    await until(api, f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt", lambda code, _: code == 200)
    await api.send("DELETE", account)
    uid = first["metadata"]["uid"]
    await until(api, account, lambda code, body: code == 200 and body["metadata"]["uid"] != uid)
