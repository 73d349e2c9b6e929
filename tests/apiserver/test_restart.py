"""A server that is stopped, or killed, comes back with the same cluster."""

import json
from pathlib import Path

import aiohttp
import pytest

from sandbox.apiserver import EmbeddedApiServer
from sandbox.apiserver.journal import FileJournal
from sandbox.apiserver.store import Key, Store

from .conftest import MERGE, client_of

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_objects_outlive_the_server(tmp_path: Path) -> None:
    """Objects, revisions, the address and all credentials are the same after a restart; old watches get 410."""
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        made = await api.create(CONFIG_MAPS, {"metadata": {"name": "kept"}, "data": {"k": "v"}})
        gone = await api.create(CONFIG_MAPS, {"metadata": {"name": "gone"}})
        await api.send("DELETE", f"{CONFIG_MAPS}/gone")
        token = await api.create("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        address = server.url
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        assert server.url == address
        assert (await api.get(f"{CONFIG_MAPS}/kept")).body == made
        assert (await api.get(f"{CONFIG_MAPS}/gone")).code == 404
        bearer = f"Bearer {token['status']['token']}"
        assert (await api.get("/api/v1/namespaces/default/secrets", Authorization=bearer)).code == 403
        patched = await api.send("PATCH", f"{CONFIG_MAPS}/kept", {"data": {"k": "w"}}, MERGE)
        assert int(patched.body["metadata"]["resourceVersion"]) > int(gone["metadata"]["resourceVersion"])
        old = made["metadata"]["resourceVersion"]
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={old}") as events:
            event = await anext(events)
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert event["object"]["message"].startswith(f"too old resource version: {old} (")


async def test_credentials_on_disk_are_private(tmp_path: Path) -> None:
    """Files that hold objects (Secrets among them), keys or tokens are readable by their owner only."""
    async with EmbeddedApiServer(tmp_path):
        pass
    private = ["objects.jsonl", "admin.kubeconfig", "admin.token", "service-accounts.key", "pki/apiserver.key"]
    assert {name: (tmp_path / name).stat().st_mode & 0o077 for name in private} == dict.fromkeys(private, 0)


async def test_definitions_are_served_again(tmp_path: Path) -> None:
    """Custom resources are served again after a restart."""
    names = {"plural": "widgets", "kind": "Widget"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    definition = {
        "metadata": {"name": "widgets.restart.example"},
        "spec": {"group": "restart.example", "scope": "Cluster", "names": names, "versions": [version]},
    }
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await api.create("/apis/restart.example/v1/widgets", {"metadata": {"name": "w"}})
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        assert (await api.get("/apis/restart.example/v1/widgets/w")).code == 200


async def test_stop_does_not_wait_for_watches(tmp_path: Path) -> None:
    """An open watch ends when the server stops."""
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name=x") as events:
            await server.__aexit__(None, None, None)
            try:
                rest = [event async for event in events]
            except aiohttp.ClientPayloadError:
                rest = []
        assert rest == []


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_cut_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    """A kill in the middle of a write loses that write only."""
    path = tmp_path / "objects.jsonl"
    journal = FileJournal(path)
    store = Store(journal)
    journal.restore(store)
    for name in ("a", "b"):
        metadata = {"name": name, "namespace": "n", "uid": name}
        store.create(Key("", "configmaps", "n", name), {"metadata": metadata})
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Store()
    reopened = FileJournal(path)
    reopened.restore(again)
    reopened.close()
    assert [item["metadata"]["name"] for item in again.list("", "configmaps")] == (["a"] if cut > 1 else ["a", "b"])


async def test_the_audit_log_tells_every_request(tmp_path: Path) -> None:
    """Each request leaves one line with user, verb, resource and code."""
    async with EmbeddedApiServer(tmp_path) as server, client_of(server) as api:
        await api.get(f"{CONFIG_MAPS}/nothing")
        await api.send("PATCH", "/api/v1/nodes/n/status", {}, MERGE, Impersonate_User="jane")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {
        "user": "kubernetes-admin",
        "verb": "get",
        "group": "",
        "resource": "configmaps",
        "subresource": "",
        "namespace": "default",
        "name": "nothing",
        "code": 404,
    } in lines
    assert any(line["user"] == "jane" and line["subresource"] == "status" and line["code"] == 403 for line in lines)
