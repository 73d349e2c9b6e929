"""Creating, updating, patching and deleting objects over HTTP: what is kept, refused, and how the refusal is worded."""

from typing import Any

import pytest

from .conftest import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, until


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def claim(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    """A claim for storage."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec},
    }


def job(name: str, command: str = "true") -> dict[str, Any]:
    """A Job of one container."""
    container = {"name": "c", "image": "i", "command": [command]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


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


async def test_secret_texts_are_encoded(api: Api, namespace: str) -> None:
    """StringData becomes base64 data and is not stored."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    made = await api.create(path, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"k": "dg=="}, "Opaque", False)


async def test_quota_refuses_what_is_too_much(api: Api, namespace: str) -> None:
    """A claim above requests.storage is refused in the words recorded of the real server; usage is counted."""
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    await api.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"requests.storage": "32Mi"}}})
    refused = await api.send("POST", claims, claim("q", "64Mi"))
    assert refused.code == 403
    assert refused.body["message"] == (
        'persistentvolumeclaims "q" is forbidden: exceeded quota: q, requested: requests.storage=64Mi, '
        "used: requests.storage=0, limited: requests.storage=32Mi"
    )
    await api.create(claims, claim("small", "16Mi"))
    used = {"requests.storage": "16Mi"}
    await until(api, f"{quotas}/q", lambda _, body: body.get("status", {}).get("used") == used)


async def test_limit_ranges(api: Api, namespace: str) -> None:
    """A LimitRange bounds claims, and fills in what containers leave out."""
    limits = [
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        {"type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"}},
    ]
    root = f"/api/v1/namespaces/{namespace}"
    await api.create(f"{root}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    refused = await api.send("POST", f"{root}/persistentvolumeclaims", claim("big", "2Gi"))
    assert refused.body["message"] == (
        'persistentvolumeclaims "big" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, '
        "but request is 2Gi"
    )
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await api.create(f"{root}/pods", pod)
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}


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
