"""Server-side apply over HTTP: ownership, conflicts, and lists that are merged."""

from .conftest import APPLY, Api
from .objects import config_map


async def test_apply_creates_owns_and_removes(api: Api, namespace: str) -> None:
    """An apply creates the object; a field that the next apply leaves out is removed, fields of others stay."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    first = await api.send("PATCH", f"{path}?fieldManager=one", config_map("a", x="1", y="2"), APPLY)
    assert first.code == 201
    await api.send("PATCH", f"{path}?fieldManager=two", config_map("a", z="3"), APPLY)
    last = await api.send("PATCH", f"{path}?fieldManager=one", config_map("a", x="1"), APPLY)
    assert last.body["data"] == {"x": "1", "z": "3"}
    managers = {entry["manager"]: entry["fieldsV1"] for entry in last.body["metadata"]["managedFields"]}
    assert managers == {"one": {"f:data": {"f:x": {}}}, "two": {"f:data": {"f:z": {}}}}


async def test_apply_conflicts_name_the_owner(api: Api, namespace: str) -> None:
    """Another manager's value is a conflict that names field and owner; force takes the field over."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    await api.send("PATCH", f"{path}?fieldManager=one", config_map("a", x="1"), APPLY)
    answer = await api.send("PATCH", f"{path}?fieldManager=two", config_map("a", x="2"), APPLY)
    assert answer.code == 409
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert answer.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}
    ]
    forced = await api.send("PATCH", f"{path}?fieldManager=two&force=true", config_map("a", x="2"), APPLY)
    assert forced.body["data"] == {"x": "2"}
    assert [entry["manager"] for entry in forced.body["metadata"]["managedFields"]] == ["two"]


async def test_apply_of_status_keeps_spec(api: Api, namespace: str) -> None:
    """A status applied by two managers merges conditions by type and leaves spec and each other's conditions alone."""
    collection = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    await api.create(collection, {"metadata": {"name": "x"}, "spec": {"maxUnavailable": 1}})
    counts = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    for manager in ("A", "B"):
        condition = {
            "type": manager,
            "status": "True",
            "reason": "r",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        body = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "x"},
            "status": {**counts, "conditions": [condition]},
        }
        answer = await api.send("PATCH", f"{collection}/x/status?fieldManager={manager}", body, APPLY)
        assert answer.code == 200, answer.body
    assert [each["type"] for each in answer.body["status"]["conditions"]] == ["A", "B"]
    assert answer.body["spec"]["maxUnavailable"] == 1
