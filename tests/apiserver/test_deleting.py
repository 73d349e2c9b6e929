"""Deleting objects over HTTP: finalizers, preconditions, collections, and pods that wait for their kubelet."""

import pytest

from .conftest import MERGE, Api
from .objects import config_map


async def test_finalizers_hold_an_object(api: Api, namespace: str) -> None:
    """A deleted object with finalizers stays, takes no new finalizer, and goes with its last one."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    held = (await api.send("DELETE", f"{path}/a")).body
    assert held["metadata"]["deletionTimestamp"]
    added = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    refused = await api.send("PATCH", f"{path}/a", added, MERGE)
    assert refused.body["message"] == (
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is '
        'being deleted, found new finalizers []string{"example.com/more"}'
    )
    await api.send("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, MERGE)
    assert (await api.get(f"{path}/a")).code == 404


@pytest.mark.parametrize(
    ("preconditions", "code", "message"),
    [
        ({"uid": "other"}, 409, "the UID in the precondition (other) does not match the UID in record"),
        ({"resourceVersion": "1"}, 409, "the ResourceVersion in the precondition (1) does not match"),
        ({}, 200, ""),
    ],
)
async def test_delete_preconditions(
    api: Api, namespace: str, preconditions: dict[str, str], code: int, message: str
) -> None:
    """A delete that means another object or state is refused."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("a"))
    answer = await api.send("DELETE", f"{path}/a", {"kind": "DeleteOptions", "preconditions": preconditions})
    assert answer.code == code
    assert message in answer.body.get("message", "")
    assert (await api.get(f"{path}/a")).code == (404 if code == 200 else 200)


async def test_delete_collection_by_label(api: Api, namespace: str) -> None:
    """Deletecollection deletes what its selector selects, and nothing else."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        await api.create(path, {"metadata": {"name": name, "labels": {"colour": colour}}})
    await api.send("DELETE", f"{path}?labelSelector=colour%3Dred")
    left = (await api.get(f"{path}?labelSelector=colour")).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_pods_wait_for_their_kubelet(api: Api, namespace: str) -> None:
    """A pod on a node stays for its grace period; without a node, or with grace 0, it goes at once."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await api.create(path, {"metadata": {"name": "free"}, "spec": spec})
    await api.create(path, {"metadata": {"name": "placed"}, "spec": {**spec, "nodeName": "n"}})
    await api.send("DELETE", f"{path}/free")
    held = (await api.send("DELETE", f"{path}/placed")).body
    assert held["metadata"]["deletionGracePeriodSeconds"] == 30
    assert [item["metadata"]["name"] for item in (await api.get(path)).body["items"]] == ["placed"]
    await api.send("DELETE", f"{path}/placed", {"gracePeriodSeconds": 0})
    assert (await api.get(path)).body["items"] == []
