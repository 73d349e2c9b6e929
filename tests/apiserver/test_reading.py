"""Lists and watches: selectors, chunks, resumption, bookmarks, and the forms in which objects come."""

import asyncio
from typing import Any

import pytest
from kubernetes.aio import client, config, watch

from sandbox.apiserver import EmbeddedApiServer

from .conftest import MERGE, Api

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def make(api: Api, namespace: str, name: str, **labels: str) -> dict[str, Any]:
    """A new ConfigMap with labels."""
    return await api.create(
        f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name, "labels": labels}}
    )


def names(body: dict[str, Any]) -> list[str]:
    """The names in a list, without the ConfigMap that every namespace has."""
    return [item["metadata"]["name"] for item in body["items"] if item["metadata"]["name"] != "kube-root-ca.crt"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=colour=red", ["a"]),
        ("labelSelector=colour!=red", ["b", "c"]),
        ("labelSelector=colour+in+(red,blue),size", ["b"]),
        ("labelSelector=colour+notin+(red)", ["b", "c"]),
        ("labelSelector=!colour", ["c"]),
        ("fieldSelector=metadata.name=b", ["b"]),
        ("fieldSelector=metadata.name!=b", ["a", "c"]),
    ],
)
async def test_selectors(api: Api, namespace: str, query: str, expected: list[str]) -> None:
    """Lists are filtered by labels and fields."""
    await make(api, namespace, "a", colour="red")
    await make(api, namespace, "b", colour="blue", size="1")
    await make(api, namespace, "c")
    assert names((await api.get(f"/api/v1/namespaces/{namespace}/configmaps?{query}")).body) == expected


async def test_unknown_field_selector(api: Api) -> None:
    """A field that cannot be selected by is refused in the real server's words."""
    answer = await api.get("/api/v1/configmaps?fieldSelector=data.x=1")
    assert (answer.code, answer.body["message"]) == (400, "field label not supported: data.x")


async def test_chunks_show_one_state(api: Api, namespace: str) -> None:
    """The chunks of a list are of one revision, whatever is written between them; the count of the rest is told."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    for name in "abc":
        await api.create(path, {"metadata": {"name": name}})
    first = (await api.get(f"{path}?limit=2")).body
    await api.send("DELETE", f"{path}/c")
    rest = (await api.get(f"{path}?limit=2&continue={first['metadata']['continue']}")).body
    found = [item["metadata"]["name"] for item in [*first["items"], *rest["items"]]]
    assert found == ["a", "b", "c", "default"]
    assert first["metadata"]["remainingItemCount"] == 2
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in rest["metadata"]


async def test_forgotten_chunks_expire(api: Api) -> None:
    """A continue token that the server does not remember is 410 Expired."""
    token = "eyJ2IjogIm1ldGEuazhzLmlvL3YxIiwgInJlc3QiOiAieCJ9"
    answer = await api.get(f"/api/v1/configmaps?limit=1&continue={token}")
    assert (answer.code, answer.body["reason"]) == (410, "Expired")


async def test_watch_resumes_after_a_list(api: Api, namespace: str) -> None:
    """A watch from a list's revision tells every later change once, in order, under rising revisions."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    revision = (await api.get(path)).body["metadata"]["resourceVersion"]
    await make(api, namespace, "a")
    async with api.watch(f"{path}?watch=1&resourceVersion={revision}&labelSelector=!x") as events:
        await api.send("PATCH", f"{path}/a", {"data": {"k": "v"}}, MERGE)
        await api.send("DELETE", f"{path}/a")
        seen = [await anext(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions))


async def test_watch_with_selector_sees_objects_enter_and_leave(api: Api, namespace: str) -> None:
    """An object that starts to match is ADDED, one that stops to match is DELETED."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    revision = (await make(api, namespace, "a"))["metadata"]["resourceVersion"]
    async with api.watch(f"{path}?watch=true&resourceVersion={revision}&labelSelector=on=yes") as events:
        for value in ("yes", "no"):
            await api.send("PATCH", f"{path}/a", {"metadata": {"labels": {"on": value}}}, MERGE)
        seen = [await anext(events) for _ in range(2)]
    assert [event["type"] for event in seen] == ["ADDED", "DELETED"]


async def test_streaming_list(api: Api, namespace: str) -> None:
    """SendInitialEvents brings the present objects, then a bookmark that says so."""
    await make(api, namespace, "a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.watch(f"/api/v1/namespaces/{namespace}/configmaps?{query}&fieldSelector=metadata.name=a") as events:
        first, second = await anext(events), await anext(events)
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_bookmarks_tell_the_revision(api: Api, namespace: str) -> None:
    """A quiet watch gets bookmarks with the present revision."""
    revision = (await make(api, namespace, "a"))["metadata"]["resourceVersion"]
    query = f"watch=1&allowWatchBookmarks=true&resourceVersion={revision}"
    async with api.watch(f"/apis/batch/v1/namespaces/{namespace}/jobs?{query}") as events:
        event = await anext(events)
    assert event["type"] == "BOOKMARK"
    assert int(event["object"]["metadata"]["resourceVersion"]) >= int(revision)


async def test_future_revision(api: Api) -> None:
    """A list of a revision that does not exist yet is a Timeout with a cause that clients know."""
    answer = await api.get("/api/v1/configmaps?resourceVersion=999999999")
    assert (answer.code, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_tables(api: Api, namespace: str) -> None:
    """A client that accepts a Table gets the columns of `kubectl get`."""
    await make(api, namespace, "a")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    table = (await api.get(f"{path}?fieldSelector=metadata.name=a", Accept=TABLE)).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 0]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = (await api.get(f"{path}/a?includeObject=Object", Accept=TABLE)).body
    assert whole["rows"][0]["object"]["kind"] == "ConfigMap"


async def test_metadata_only(api: Api, namespace: str) -> None:
    """A client may ask for metadata without content."""
    await make(api, namespace, "a")
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    body = (await api.get(f"/api/v1/namespaces/{namespace}/configmaps", Accept=accept)).body
    assert body["kind"] == "PartialObjectMetadataList"
    assert all(item.keys() == {"kind", "apiVersion", "metadata"} for item in body["items"])


async def test_events_have_two_groups(api: Api, namespace: str) -> None:
    """An Event written as core/v1 is read as events.k8s.io/v1 with that group's field names."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
        "message": "m",
        "reason": "r",
        "type": "Normal",
    }
    await api.create(f"/api/v1/namespaces/{namespace}/events", event)
    other = (await api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e")).body
    assert (other["apiVersion"], other["note"], other["regarding"]["name"]) == ("events.k8s.io/v1", "m", "p")


async def test_the_python_client_lists_and_watches(api: Api, api_server: EmbeddedApiServer, namespace: str) -> None:
    """The client that the operator uses reads the kubeconfig, trusts the CA, lists and watches."""
    configuration = client.Configuration()
    load: Any = config.load_kube_config
    await load(str(api_server.kubeconfig), client_configuration=configuration)
    watches: Any = watch.Watch
    async with client.ApiClient(configuration) as connection, asyncio.timeout(180):
        core: Any = client.CoreV1Api(connection)
        listed = await core.list_namespaced_config_map(namespace)
        stream = watches()
        await make(api, namespace, "seen")
        changes = stream.stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=listed.metadata.resource_version,
            field_selector="metadata.name=seen",
            timeout_seconds=1,
        )
        events = [event async for event in changes]
    assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "seen")]
