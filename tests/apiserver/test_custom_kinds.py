"""Definitions of kinds: what they serve, and how they and their objects go."""

from typing import Any

from .conftest import MERGE, STRATEGIC, Api, gone, until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str, **version: Any) -> dict[str, Any]:
    """A definition in two versions with a small schema."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer", "minimum": 1, "default": 3}, "note": {"type": "string"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    second = {**first, "name": "v1beta1", "storage": False}
    return {
        "metadata": {"name": f"{plural}.ext.example"},
        "spec": {
            "group": "ext.example",
            "scope": "Namespaced",
            "names": {
                "plural": plural,
                "kind": plural.capitalize(),
                "shortNames": [f"{plural}x"],
                "categories": ["ext"],
            },
            "versions": [first, second],
        },
    }


async def test_definitions_are_served_at_once(api: Api, namespace: str) -> None:
    """A definition is established when its create is answered; its objects are defaulted, pruned and validated."""
    made = await api.create(DEFINITIONS, definition("gadgets", subresources={"status": {}}))
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    path = f"/apis/ext.example/v1/namespaces/{namespace}/gadgets"
    item = await api.create(path, {"metadata": {"name": "a"}, "spec": {"note": "n", "x": 1}, "status": {"y": 1}})
    assert (item["spec"], "status" in item, item["metadata"]["generation"]) == ({"note": "n", "size": 3}, False, 1)
    refused = await api.send("PATCH", f"{path}/a", {"spec": {"size": 0}}, MERGE)
    assert refused.code == 422
    assert 'Gadgets.ext.example "a" is invalid: spec.size: Invalid value: 0' in refused.body["message"]
    status = await api.send("PATCH", f"{path}/a/status", {"status": {"y": 1}, "spec": {"size": 9}}, MERGE)
    assert (status.body["status"], status.body["spec"]["size"]) == ({"y": 1}, 3)


async def test_versions_differ_in_name_only(api: Api, namespace: str) -> None:
    """Strategy None: an object is read in each served version, with that apiVersion."""
    await api.create(DEFINITIONS, definition("levers"))
    await api.create(f"/apis/ext.example/v1beta1/namespaces/{namespace}/levers", {"metadata": {"name": "a"}})
    versions = []
    for version in ("v1", "v1beta1"):
        answer = await api.get(f"/apis/ext.example/{version}/namespaces/{namespace}/levers/a")
        versions.append(answer.body["apiVersion"])
    assert versions == ["ext.example/v1", "ext.example/v1beta1"]


async def test_custom_resources_need_a_version_to_be_replaced(api: Api, namespace: str) -> None:
    """PUT of a custom resource without resourceVersion is refused; strategic merge patch is not served for it."""
    await api.create(DEFINITIONS, definition("cranks"))
    path = f"/apis/ext.example/v1/namespaces/{namespace}/cranks"
    await api.create(path, {"metadata": {"name": "a"}})
    replaced = await api.send("PUT", f"{path}/a", {"metadata": {"name": "a"}})
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in replaced.body["message"]
    assert (await api.send("PATCH", f"{path}/a", {}, STRATEGIC)).code == 415


async def test_deleted_definitions_take_their_objects(api: Api, namespace: str) -> None:
    """A definition stays until its objects are gone, refuses new ones, and is not served afterwards."""
    await api.create(DEFINITIONS, definition("knobs"))
    path = f"/apis/ext.example/v1/namespaces/{namespace}/knobs"
    await api.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    await api.send("DELETE", f"{DEFINITIONS}/knobs.ext.example")
    await until(api, f"{path}/a", lambda _, body: "deletionTimestamp" in body["metadata"])
    refused = await api.send("POST", path, {"metadata": {"name": "b"}})
    assert refused.body["message"] == "create not allowed while custom resource definition is terminating"
    await api.send("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, MERGE)
    await gone(api, f"{DEFINITIONS}/knobs.ext.example")
    assert (await api.get(path)).body["message"] == "the server could not find the requested resource"


async def test_names_in_use_are_not_accepted(api: Api) -> None:
    """A second definition with a taken short name is stored, not established, and says why."""
    await api.create(DEFINITIONS, definition("pumps"))
    other = definition("tubes")
    other["spec"]["names"]["shortNames"] = ["pumpsx"]
    made = await api.create(DEFINITIONS, other)
    conditions = {each["type"]: (each["status"], each["message"]) for each in made["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("False", '"pumpsx" is already in use')
    assert conditions["Established"][0] == "False"
