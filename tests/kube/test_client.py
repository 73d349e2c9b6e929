"""The verbs of the client against a real API over HTTPS, and every refusal as the right error."""

import asyncio
from typing import Any

import pytest

from safehold.errors import (
    ClusterUnavailableError,
    ConflictError,
    ForbiddenError,
    HistoryError,
    InvalidObjectError,
    NamespaceEndingError,
    NotFoundError,
    NotServedError,
)
from safehold.kube.client import Cluster, Manifest, WatchEvent
from safehold.kube.kinds import CONFIG_MAP, NAMESPACE, POD, SECRET, SERVICE_ACCOUNT, VM, VMI, Kind
from sandbox.apiserver import EmbeddedApiServer, store

UNSERVED = Kind("example.dev", "v1", "things", "Thing")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


def config(namespace: str, name: str = "settings", **changes: Any) -> Manifest:
    """A ConfigMap."""
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"a": "1"}, **changes}


async def test_what_does_not_exist_is_none_or_an_error(cluster: Cluster, namespace: str) -> None:
    """`get` answers None, `read` raises, deleting nothing says so."""
    assert await cluster.get(CONFIG_MAP, "nothing", namespace) is None
    with pytest.raises(NotFoundError, match="ConfigMap"):
        await cluster.read(CONFIG_MAP, "nothing", namespace)
    assert await cluster.delete(CONFIG_MAP, "nothing", namespace) is False


async def test_a_kind_that_is_not_installed_is_not_an_object_that_is_missing(cluster: Cluster, namespace: str) -> None:
    """Without its definition a kind is an error that says what to install, never None."""
    with pytest.raises(NotServedError, match="install"):
        await cluster.get(UNSERVED, "x", namespace)
    with pytest.raises(NotServedError):
        await cluster.list(UNSERVED)


async def test_a_name_that_is_taken(cluster: Cluster, namespace: str) -> None:
    """`create` conflicts; `create_if_absent` answers with what is there, unchanged."""
    created = await cluster.create(CONFIG_MAP, config(namespace))
    with pytest.raises(ConflictError):
        await cluster.create(CONFIG_MAP, config(namespace))
    found = await cluster.create_if_absent(CONFIG_MAP, config(namespace, data={"a": "2"}))
    assert (found["metadata"]["uid"], found["data"]) == (created["metadata"]["uid"], {"a": "1"})


async def test_a_delete_with_a_uid_takes_only_that_object(cluster: Cluster, namespace: str) -> None:
    """An object that was created again under the same name stays."""
    created = await cluster.create(CONFIG_MAP, config(namespace))
    with pytest.raises(ConflictError):
        await cluster.delete(CONFIG_MAP, "settings", namespace, uid="another")
    assert await cluster.delete(CONFIG_MAP, "settings", namespace, uid=created["metadata"]["uid"])
    assert await cluster.get(CONFIG_MAP, "settings", namespace) is None


async def test_lists_select_by_labels_and_fields_over_pages(cluster: Cluster, namespace: str) -> None:
    """More than a page of objects is listed whole; items know their kind."""
    for number in range(3):
        labels = {"parity": "odd" if number % 2 else "even", "app": "x"}
        metadata = {"name": f"c{number}", "namespace": namespace, "labels": labels}
        await cluster.create(CONFIG_MAP, {"metadata": metadata})
    even = await cluster.list(CONFIG_MAP, namespace, labels={"parity": "even", "app": "x"})
    assert [item["metadata"]["name"] for item in even] == ["c0", "c2"]
    assert even[0]["kind"] == "ConfigMap"
    one = await cluster.list(CONFIG_MAP, namespace, fields="metadata.name=c1")
    assert [item["metadata"]["name"] for item in one] == ["c1"]
    everywhere = await cluster.list(CONFIG_MAP, labels="app in (x)")
    assert {item["metadata"]["namespace"] for item in everywhere} == {namespace}


async def test_long_lists_come_in_pages(cluster: Cluster, namespace: str) -> None:
    """A list goes on where the server stopped."""
    for number in range(505):
        await cluster.create(CONFIG_MAP, {"metadata": {"name": f"c{number}", "namespace": namespace}})
    found = await cluster.list(CONFIG_MAP, namespace)
    names = {item["metadata"]["name"] for item in found} - {"kube-root-ca.crt"}
    assert names == {f"c{number}" for number in range(505)}


async def test_a_merge_patch_is_guarded_by_what_it_names(cluster: Cluster, namespace: str) -> None:
    """A stale resourceVersion, or another uid, conflicts and changes nothing."""
    created = await cluster.create(CONFIG_MAP, config(namespace))
    old = created["metadata"]["resourceVersion"]
    guarded = {"metadata": {"resourceVersion": old}, "data": {"a": "2"}}
    assert (await cluster.merge_patch(CONFIG_MAP, "settings", namespace, guarded))["data"] == {"a": "2"}
    for guard in ({"resourceVersion": old}, {"uid": "another"}):
        with pytest.raises(ConflictError):
            await cluster.merge_patch(CONFIG_MAP, "settings", namespace, {"metadata": guard, "data": {"a": "3"}})
    assert (await cluster.read(CONFIG_MAP, "settings", namespace))["data"] == {"a": "2"}


async def test_a_json_patch_whose_test_fails_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    """The server answers 422 for it, which would otherwise mean that the object is wrong for good."""
    await cluster.create(CONFIG_MAP, config(namespace))
    test = {"op": "test", "path": "/data/a", "value": "other"}
    replace = {"op": "replace", "path": "/data/a", "value": "2"}
    with pytest.raises(ConflictError):
        await cluster.json_patch(CONFIG_MAP, "settings", namespace, [test, replace])
    patched = await cluster.json_patch(CONFIG_MAP, "settings", namespace, [{**test, "value": "1"}, replace])
    assert patched["data"] == {"a": "2"}


async def test_what_breaks_the_schema_is_final(cluster: Cluster, namespace: str) -> None:
    """An invalid object is no conflict: asking again does not help."""
    with pytest.raises(InvalidObjectError) as caught:
        await cluster.create(CONFIG_MAP, config(namespace, name="Not_A_Name"))
    assert not caught.value.retryable


async def test_apply_owns_what_it_names(cluster: Cluster, namespace: str) -> None:
    """What a later apply leaves out goes; what others set stays."""
    metadata = {"name": "applied", "namespace": namespace}
    await cluster.apply(CONFIG_MAP, {"metadata": metadata, "data": {"ours": "1", "also": "1"}})
    await cluster.merge_patch(CONFIG_MAP, "applied", namespace, {"data": {"theirs": "1"}})
    found = await cluster.apply(CONFIG_MAP, {"metadata": metadata, "data": {"ours": "2"}})
    assert found["data"] == {"ours": "2", "theirs": "1"}


async def test_a_namespace_that_ends_takes_nothing_new(cluster: Cluster, namespace: str) -> None:
    """The refusal is its own error, since it is no question of rights."""
    await cluster.create(
        CONFIG_MAP, config(namespace, metadata={"name": "held", "namespace": namespace, "finalizers": ["a.b/c"]})
    )
    await cluster.delete(NAMESPACE, namespace)
    with pytest.raises(NamespaceEndingError):
        await cluster.create(CONFIG_MAP, config(namespace))
    await cluster.merge_patch(CONFIG_MAP, "held", namespace, {"metadata": {"finalizers": None}})


async def test_impersonation_has_the_rights_of_the_service_account(cluster: Cluster, namespace: str) -> None:
    """As a ServiceAccount only what its roles allow goes, and the operator's own client stays as it was."""
    await cluster.create(SERVICE_ACCOUNT, {"metadata": {"name": "restorer", "namespace": namespace}})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]}]
    await cluster.create(ROLE, {"metadata": {"name": "r", "namespace": namespace}, "rules": rules})
    await cluster.create(
        ROLE_BINDING,
        {
            "metadata": {"name": "r", "namespace": namespace},
            "roleRef": {"apiGroup": ROLE.group, "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "restorer", "namespace": namespace}],
        },
    )
    restorer = cluster.as_service_account(namespace, "restorer")
    await restorer.create(CONFIG_MAP, config(namespace))
    for forbidden in (restorer.list(SECRET, namespace), restorer.get(CONFIG_MAP, "x", "kube-system")):
        with pytest.raises(ForbiddenError):
            await forbidden
    assert await cluster.list(SECRET, namespace) is not None


async def test_a_watch_tells_what_is_there_and_what_changes(cluster: Cluster, namespace: str) -> None:
    """One object by its name: first as it is, then each change, until the time is over."""
    await cluster.create(VMI, {"metadata": {"name": "db", "namespace": namespace}, "spec": {"domain": {"devices": {}}}})
    events: list[WatchEvent] = []
    async for event in cluster.watch(VMI, namespace, fields="metadata.name=db", timeout_seconds=10):
        events.append(event)
        if len(events) == 1:
            await cluster.merge_patch(VMI, "db", namespace, {"status": {"fsFreezeStatus": "frozen"}})
        else:
            break
    assert [event.type for event in events] == ["ADDED", "MODIFIED"]
    assert events[1].manifest["status"]["fsFreezeStatus"] == "frozen"


async def test_a_watch_ends_with_its_time(cluster: Cluster, namespace: str) -> None:
    """Nothing happens: the server ends it, which is no error."""
    async with asyncio.timeout(180):
        assert [event async for event in cluster.watch(VM, namespace, timeout_seconds=1)] == []


async def test_the_log_of_a_pod_that_has_not_started_is_empty(cluster: Cluster, namespace: str) -> None:
    """No container, no log: the worker's progress is simply not known yet."""
    assert await cluster.pod_log(namespace, "nothing", container="worker", tail_lines=1) == ""
    assert await cluster.get(POD, "nothing", namespace) is None


async def test_a_server_that_is_gone_is_unavailable(kube_server: EmbeddedApiServer) -> None:
    """No answer is retryable, and names what was asked."""
    async with Cluster.connect(kube_server.kubeconfig) as cluster:
        cluster.connection.api.configuration.host = "https://127.0.0.1:9"
        with pytest.raises(ClusterUnavailableError, match="get ConfigMap") as caught:
            await cluster.get(CONFIG_MAP, "x", "default")
    assert caught.value.retryable


async def test_metadata_alone_is_asked_for(cluster: Cluster, namespace: str) -> None:
    """Lists and watches without spec and status; the list's version is where a watch goes on."""
    await cluster.create(CONFIG_MAP, config(namespace))
    pages = [page async for page in cluster.pages(CONFIG_MAP, namespace, metadata_only=True)]
    found = {item["metadata"]["name"]: item for page in pages for item in page.items}
    assert "data" not in found["settings"]
    await cluster.create(CONFIG_MAP, config(namespace, "later"))
    version = pages[0].resource_version
    async for event in cluster.watch(CONFIG_MAP, namespace, timeout_seconds=20, since=version, metadata_only=True):
        assert (event.type, event.manifest["metadata"]["name"]) == ("ADDED", "later")
        assert "data" not in event.manifest
        break


async def test_a_version_that_is_not_known_any_more_is_an_error_of_its_own(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches has to list again."""
    monkeypatch.setattr(store, "HISTORY_EVENTS", 1)
    for number in range(3):
        await cluster.create(CONFIG_MAP, config(namespace, f"settings-{number}"))
    with pytest.raises(HistoryError):
        async for _ in cluster.watch(CONFIG_MAP, timeout_seconds=5, since="1"):
            pass


async def test_an_object_of_half_a_mebibyte_is_watched(cluster: Cluster, namespace: str) -> None:
    """A line of a watch may be as long as an object may be large."""
    large = "x" * (1 << 19)
    await cluster.create(CONFIG_MAP, config(namespace, "large", data={"a": large}))
    async for event in cluster.watch(CONFIG_MAP, namespace, timeout_seconds=20):
        if event.manifest["metadata"]["name"] == "large":
            assert event.manifest["data"]["a"] == large
            break
