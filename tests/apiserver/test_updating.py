"""Replacing and patching objects over HTTP: versions, patch types, what cannot be written, and status."""

from typing import Any

import pytest

from .conftest import JSON_PATCH, MERGE, STRATEGIC, Api
from .objects import claim, config_map, job


async def test_update_needs_the_present_state(api: Api, namespace: str) -> None:
    """A replace with an old resourceVersion is 409 Conflict in the real server's words, and changes nothing."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    old = await api.create(path, config_map("a", k="1"))
    new = await api.send("PUT", f"{path}/a", {**old, "data": {"k": "2"}})
    answer = await api.send("PUT", f"{path}/a", {**old, "data": {"k": "3"}})
    assert answer.code == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert (await api.get(f"{path}/a")).body == new.body


async def test_update_that_changes_nothing_keeps_the_version(api: Api, namespace: str) -> None:
    """A write of the same content makes no new revision, so that no watcher wakes up."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = await api.create(path, config_map("a", k="1"))
    again = await api.send("PATCH", f"{path}/a", {"data": {"k": "1"}}, MERGE)
    assert again.body["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("media", "patch", "expected"),
    [
        (MERGE, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (STRATEGIC, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (
            JSON_PATCH,
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/c", "value": "3"}],
            {"b": "2", "c": "3"},
        ),
    ],
)
async def test_patches(api: Api, namespace: str, media: str, patch: Any, expected: dict[str, str]) -> None:
    """Each patch type removes and adds keys."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("a", a="1", b="2"))
    answer = await api.send("PATCH", f"{path}/a", patch, media)
    assert answer.body["data"] == expected


async def test_patch_with_an_old_version_conflicts(api: Api, namespace: str) -> None:
    """A patch that names a resourceVersion is refused when the object has another."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("a"))
    answer = await api.send("PATCH", f"{path}/a", {"metadata": {"resourceVersion": "1"}, "data": {"k": "v"}}, MERGE)
    assert (answer.code, answer.body["reason"]) == (409, "Conflict")


async def test_failing_json_patch_test(api: Api, namespace: str) -> None:
    """A JSON patch whose test fails changes nothing and is 422."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = await api.create(path, config_map("a", k="1"))
    patch = [{"op": "test", "path": "/data/k", "value": "2"}, {"op": "remove", "path": "/data/k"}]
    assert (await api.send("PATCH", f"{path}/a", patch, JSON_PATCH)).code == 422
    assert (await api.get(f"{path}/a")).body == made


async def test_server_metadata_cannot_be_written(api: Api, namespace: str) -> None:
    """uid, creationTimestamp, deletionTimestamp and generation stay what the server says."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = await api.create(path, config_map("a"))
    forged = {"creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z", "generation": 9}
    patched = await api.send("PATCH", f"{path}/a", {"metadata": forged, "data": {"k": "v"}}, MERGE)
    kept = {
        key: value for key, value in patched.body["metadata"].items() if key not in ("resourceVersion", "managedFields")
    }
    assert kept == {key: value for key, value in made["metadata"].items() if key in kept}
    other = await api.send("PATCH", f"{path}/a", {"metadata": {"uid": "x"}}, MERGE)
    assert (other.code, other.body["reason"]) == (409, "Conflict")


@pytest.mark.parametrize(
    ("collection", "body", "patch", "message"),
    [
        (
            "/api/v1/namespaces/{}/persistentvolumeclaims",
            claim("x"),
            {"spec": {"accessModes": ["ReadWriteMany"]}},
            "spec: Forbidden: spec is immutable after creation except resources.requests",
        ),
        (
            "/apis/batch/v1/namespaces/{}/jobs",
            job("x"),
            {"spec": {"template": {"spec": {"dnsPolicy": "None"}}}},
            "spec.template: Invalid value: field is immutable",
        ),
        (
            "/api/v1/namespaces/{}/secrets",
            {"metadata": {"name": "x"}, "type": "Opaque"},
            {"type": "other"},
            'type: Invalid value: "other": field is immutable',
        ),
        (
            "/api/v1/namespaces/{}/configmaps",
            {"metadata": {"name": "x"}, "immutable": True},
            {"data": {"k": "v"}},
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
    ],
)
async def test_immutable_fields(
    api: Api, namespace: str, collection: str, body: dict[str, Any], patch: dict[str, Any], message: str
) -> None:
    """Fields that a real server freezes are frozen, with its words."""
    path = collection.format(namespace)
    await api.create(path, body)
    answer = await api.send("PATCH", f"{path}/x", patch, MERGE)
    assert answer.code == 422
    assert message in answer.body["message"]


async def test_status_is_written_apart(api: Api, namespace: str) -> None:
    """The main resource ignores status, /status ignores spec."""
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    made = await api.create(path, claim("x"))
    assert made["status"] == {"phase": "Pending"}
    main = await api.send("PATCH", f"{path}/x", {"status": {"phase": "Bound"}}, MERGE)
    assert main.body["status"] == {"phase": "Pending"}
    both = {"status": {"phase": "Bound"}, "spec": {"volumeName": "v"}}
    status = await api.send("PATCH", f"{path}/x/status", both, MERGE)
    assert (status.body["status"], "volumeName" in status.body["spec"]) == ({"phase": "Bound"}, False)


async def test_generation_counts_spec_changes_only(api: Api, namespace: str) -> None:
    """Generation rises with spec, and with neither metadata nor status."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    await api.create(path, job("x"))
    generations = []
    for target, patch in (
        ("x", {"metadata": {"labels": {"a": "b"}}}),
        ("x/status", {"status": {"active": 1}}),
        ("x", {"spec": {"parallelism": 0}}),
    ):
        answer = await api.send("PATCH", f"{path}/{target}", patch, MERGE)
        generations.append(answer.body["metadata"]["generation"])
    assert generations == [1, 1, 2]


async def test_dry_run_stores_nothing(api: Api, namespace: str) -> None:
    """dryRun=All answers as the write would, for create, patch and delete, and changes nothing."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert (await api.send("POST", f"{path}?dryRun=All", config_map("a"))).code == 201
    assert (await api.get(f"{path}/a")).code == 404
    made = await api.create(path, config_map("a", k="1"))
    patched = await api.send("PATCH", f"{path}/a?dryRun=All", {"data": {"k": "2"}}, MERGE)
    assert patched.body["data"] == {"k": "2"}
    assert (await api.send("DELETE", f"{path}/a?dryRun=All")).code == 200
    assert (await api.get(f"{path}/a")).body == made
