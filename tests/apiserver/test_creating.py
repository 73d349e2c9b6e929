"""Creating objects over HTTP: what the server fills in, what it refuses, and how refusals are worded."""

from typing import Any

import pytest

from .conftest import Api
from .objects import claim, config_map


async def test_create_fills_in_metadata(api: Api, namespace: str) -> None:
    """A new object gets namespace, uid, creation time and a resourceVersion, and is read back the same."""
    made = await api.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("a", k="v"))
    metadata = made["metadata"]
    assert metadata["namespace"] == namespace
    assert {"uid", "creationTimestamp", "resourceVersion"} <= metadata.keys()
    assert (await api.get(f"/api/v1/namespaces/{namespace}/configmaps/a")).body == made


async def test_generate_name(api: Api, namespace: str) -> None:
    """GenerateName becomes a name with five random characters."""
    body = {"metadata": {"generateName": "run-"}}
    made = await api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)
    assert made["metadata"]["name"].startswith("run-")
    assert len(made["metadata"]["name"]) == len("run-") + 5


@pytest.mark.parametrize(
    ("plural", "body", "code", "reason", "message"),
    [
        (
            "configmaps",
            {"metadata": {}},
            422,
            "Invalid",
            'ConfigMap "" is invalid: metadata.name: Required value: name or',
        ),
        ("configmaps", config_map("A_b"), 422, "Invalid", "a lowercase RFC 1123 subdomain must consist of"),
        (
            "configmaps",
            {"metadata": {"name": "x", "namespace": "other"}},
            400,
            "BadRequest",
            "the namespace of the provided",
        ),
        (
            "configmaps",
            {"metadata": {"name": "x", "resourceVersion": "1"}},
            500,
            None,
            "resourceVersion should not be set",
        ),
        (
            "configmaps",
            {"metadata": {"name": "x"}, "data": {"k": 1}},
            400,
            "BadRequest",
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct',
        ),
        ("configmaps", {"kind": "Secret", "metadata": {"name": "x"}}, 400, "BadRequest", "does not match the expected"),
        (
            "persistentvolumeclaims",
            {"metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"]}},
            422,
            "Invalid",
            'PersistentVolumeClaim "x" is invalid: spec.resources[storage]: Required value',
        ),
        (
            "persistentvolumeclaims",
            claim("x", accessModes=["Often"]),
            422,
            "Invalid",
            'spec.accessModes: Unsupported value: "Often": supported values: "ReadOnlyMany", "ReadWriteMany"',
        ),
        (
            "pods",
            {"metadata": {"name": "x"}, "spec": {"containers": []}},
            422,
            "Invalid",
            "spec.containers: Required value",
        ),
    ],
)
async def test_create_refuses(
    api: Api, namespace: str, plural: str, body: dict[str, Any], code: int, reason: str | None, message: str
) -> None:
    """A faulty object is refused with the real server's code, reason and sentence."""
    answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/{plural}", body)
    assert (answer.code, answer.body.get("reason")) == (code, reason)
    assert message in answer.body["message"]


async def test_create_of_existing_object(api: Api, namespace: str) -> None:
    """The second create of a name is 409 AlreadyExists with details."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(path, config_map("a"))
    answer = await api.send("POST", path, config_map("a"))
    assert answer.body["message"] == 'configmaps "a" already exists'
    assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["details"] == {"name": "a", "kind": "configmaps"}


async def test_create_needs_the_namespace(api: Api) -> None:
    """Nothing is created in a namespace that does not exist."""
    answer = await api.send("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))
    assert (answer.code, answer.body["message"]) == (404, 'namespaces "nowhere" not found')


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
async def test_field_validation(api: Api, namespace: str, validation: str) -> None:
    """An unknown field is refused, warned of, or dropped in silence, as the client asks; it is never stored."""
    path = f"/api/v1/namespaces/{namespace}/configmaps?fieldValidation={validation}"
    answer = await api.send("POST", path, {"metadata": {"name": "x"}, "datta": {}})
    if validation == "Strict":
        assert answer.code == 400
        assert 'strict decoding error: unknown field "datta"' in answer.body["message"]
        return
    assert "datta" not in answer.body
    assert any("datta" in warning for warning in answer.warnings) == (validation == "Warn")


async def test_secret_texts_are_encoded(api: Api, namespace: str) -> None:
    """StringData becomes base64 data and is not stored."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    made = await api.create(path, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"k": "dg=="}, "Opaque", False)


async def test_causes(api: Api, namespace: str) -> None:
    """The details of a refusal name every field with its fault, in the API's own words for faults."""
    spec = {"restartPolicy": "Sometimes", "containers": [{"name": "a"}]}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    answer = await api.send("POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    assert (answer.code, answer.body["reason"], answer.body["details"]["kind"]) == (422, "Invalid", "Pod")
    assert {cause["field"]: cause["reason"] for cause in answer.body["details"]["causes"]} == {
        "spec.restartPolicy": "FieldValueNotSupported",
        "spec.containers[0].image": "FieldValueRequired",
    }
    answer = await api.send("POST", pods, {"metadata": {"name": "p", "labels": {"a": "-"}}, "spec": spec})
    assert [cause["reason"] for cause in answer.body["details"]["causes"]] == ["FieldValueInvalid"]
