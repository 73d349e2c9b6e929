"""What people write with kubectl: create, apply, patch, replace, status."""

import json
from typing import Any

import pytest


def test_apply(kubectl: Any) -> None:
    """Apply creates, leaves alone, changes, and drops what is no longer in the file."""
    assert kubectl("apply", "-f", "-", given=kubectl.box(colour="red")) == "box.kubectl.test/b created"
    assert kubectl("apply", "-f", "-", given=kubectl.box(colour="red")) == "box.kubectl.test/b unchanged"
    kubectl("patch", "box", "b", "--type=merge", "-p", '{"spec":{"owner":"ann"}}')
    assert kubectl("apply", "-f", "-", given=kubectl.box()) == "box.kubectl.test/b configured"
    assert kubectl.json("get", "box", "b")["spec"] == {"size": 1, "colour": "brown", "owner": "ann"}


def test_diff_and_dry_run(kubectl: Any) -> None:
    """Diff shows what apply would do, and a dry run does nothing."""
    kubectl("apply", "-f", "-", given=kubectl.box())
    shown = kubectl.run("diff", "-f", "-", given=kubectl.box(size=2))
    assert shown.returncode == 1, shown.stderr
    assert "+  size: 2" in shown.stdout
    tried = kubectl("apply", "--dry-run=server", "-f", "-", given=kubectl.box(size=2))
    assert tried == "box.kubectl.test/b configured (server dry run)"
    assert kubectl("get", "box", "b", "-o", "jsonpath={.spec.size}") == "1"


def test_server_side_apply(kubectl: Any) -> None:
    """Server-side apply owns fields, refuses to take others', gives them up when they leave the file."""
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, "--field-manager=one", given=kubectl.box(things=[{"name": "cup", "count": 1}]))
    kubectl(*apply, "--field-manager=two", given=kubectl.box(things=[{"name": "pot"}]))
    conflict = kubectl.refused(*apply, "--field-manager=two", given=kubectl.box(size=5))
    assert 'Apply failed with 1 conflict: conflict with "one": .spec.size' in conflict
    kubectl(*apply, "--field-manager=two", "--force-conflicts", given=kubectl.box(size=5))
    found = kubectl.json("get", "box", "b", "--show-managed-fields")
    assert found["spec"] == {"size": 5, "colour": "brown", "things": [{"name": "cup", "count": 1}]}
    managers = {entry["manager"]: entry for entry in found["metadata"]["managedFields"]}
    assert "f:size" in managers["two"]["fieldsV1"]["f:spec"]
    assert "f:size" not in managers["one"]["fieldsV1"]["f:spec"]
    assert managers["two"]["operation"] == "Apply"


@pytest.mark.parametrize(
    ("kind", "patch", "count"),
    [
        ("merge", {"spec": {"things": [{"name": "pot", "count": 3}]}}, 3),
        ("json", [{"op": "replace", "path": "/spec/things/0/count", "value": 4}], 4),
        (
            "json",
            [
                {"op": "test", "path": "/spec/size", "value": 1},
                {"op": "add", "path": "/spec/things/0/count", "value": 5},
            ],
            5,
        ),
    ],
)
def test_patch(kind: str, patch: object, count: int, kubectl: Any) -> None:
    """Merge and JSON patches change a custom object."""
    kubectl.create_box(things=[{"name": "cup", "count": 1}])
    assert kubectl("patch", "box", "b", f"--type={kind}", "-p", json.dumps(patch)) == "box.kubectl.test/b patched"
    assert kubectl("get", "box", "b", "-o", "jsonpath={.spec.things[*].count}") == str(count)
    assert kubectl("patch", "box", "b", "--type=merge", "-p", "{}") == "box.kubectl.test/b patched (no change)"


def test_patches_that_fail(kubectl: Any) -> None:
    """A failing test, a strategic patch of a custom object, and an invalid result are refused."""
    kubectl.create_box()
    test = '[{"op":"test","path":"/spec/size","value":9}]'
    assert kubectl.refused("patch", "box", "b", "--type=json", "-p", test) == (
        "The request is invalid: the server rejected our request due to an error in our request"
    )
    strategic = kubectl.refused("patch", "box", "b", "--type=strategic", "-p", "{}")
    assert "UnsupportedMediaType" in strategic or "not supported" in strategic
    invalid = kubectl.refused("patch", "box", "b", "--type=merge", "-p", '{"spec":{"size":11}}')
    assert invalid == (
        'The Box "b" is invalid: spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10'
    )


def test_strategic_patch(kubectl: Any) -> None:
    """Built-in kinds merge lists by their keys."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", "image": "one"}, {"name": "b", "image": "two"}]},
    }
    kubectl("create", "-f", "-", given=pod)
    kubectl("patch", "pod", "p", "-p", '{"spec":{"containers":[{"name":"b","image":"three"}]}}')
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.spec.containers[*].image}") == "one three"
    kubectl("set", "image", "pod/p", "a=four")
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.spec.containers[*].image}") == "four three"


def test_status(kubectl: Any) -> None:
    """The status is written through its subresource only, and the spec not through it."""
    kubectl("create", "-f", "-", given={**kubectl.box(), "status": {"phase": "Ignored"}})
    assert "status" not in kubectl.json("get", "box", "b")
    both = '{"status":{"phase":"Done"},"spec":{"size":9}}'
    kubectl("patch", "box", "b", "--subresource=status", "--type=merge", "-p", both)
    found = kubectl.json("get", "box", "b")
    assert (found["status"], found["spec"]["size"], found["metadata"]["generation"]) == ({"phase": "Done"}, 1, 1)
    kubectl("patch", "box", "b", "--type=merge", "-p", '{"status":{"phase":"Other"},"spec":{"size":2}}')
    found = kubectl.json("get", "box", "b")
    assert (found["status"]["phase"], found["metadata"]["generation"]) == ("Done", 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": None}, "spec.size: Required value"),
        ({"mode": "Ajar"}, 'spec.mode: Unsupported value: "Ajar": supported values: "Open", "Closed"'),
        ({"things": [{"name": "a"}, {"name": "a"}]}, 'spec.things[1]: Duplicate value: {"name":"a"}'),
    ],
)
def test_invalid_objects(spec: dict[str, Any], message: str, kubectl: Any) -> None:
    """The server's sentence arrives; kubectl's own validation is off so that the server decides."""
    assert (
        kubectl.refused("create", "--validate=false", "-f", "-", given=kubectl.box(**spec))
        == f'The Box "b" is invalid: {message}'
    )


def test_unknown_fields(kubectl: Any) -> None:
    """An unknown field is an error by default, a warning if asked, and dropped."""
    wrong = kubectl.box(width=3)
    assert 'strict decoding error: unknown field "spec.width"' in kubectl.refused("create", "-f", "-", given=wrong)
    warned = kubectl.run("create", "--validate=warn", "-f", "-", given=wrong)
    assert 'Warning: unknown field "spec.width"' in warned.stderr
    assert "width" not in kubectl.json("get", "box", "b")["spec"]


def test_immutable_fields(kubectl: Any) -> None:
    """A transition rule refuses an update, with the value that was sent."""
    kubectl.create_box(owner="ann")
    refused = kubectl.refused("patch", "box", "b", "--type=merge", "-p", '{"spec":{"owner":"bob"}}')
    assert refused == 'The Box "b" is invalid: spec.owner: Invalid value: "bob": owner is immutable'


def test_generate_name(kubectl: Any) -> None:
    """GenerateName makes a fresh name at each create."""
    named = kubectl.box()
    named["metadata"] = {"generateName": "b-"}
    names = {kubectl("create", "-f", "-", "-o", "name", given=named) for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("box.kubectl.test/b-") for name in names)


def test_replace_and_conflict(kubectl: Any) -> None:
    """Replace takes the place of the object, unless that has changed since it was read."""
    kubectl.create_box(mode="Open")
    read = kubectl.json("get", "box", "b")
    kubectl("replace", "-f", "-", given=kubectl.box(size=3))
    assert kubectl.json("get", "box", "b")["spec"] == {"size": 3, "colour": "brown"}
    conflict = kubectl.refused("replace", "-f", "-", given=read)
    assert conflict.startswith("Error from server (Conflict): ")
    assert "the object has been modified; please apply your changes to the latest version and try again" in conflict


def test_create_twice(kubectl: Any) -> None:
    """A second create of a name is refused."""
    kubectl.create_box()
    assert kubectl.refused("create", "-f", "-", given=kubectl.box()) == (
        'Error from server (AlreadyExists): error when creating "STDIN": boxes.kubectl.test "b" already exists'
    )


def test_annotate(kubectl: Any) -> None:
    """Annotate adds and removes notes."""
    kubectl.create_box()
    assert kubectl("annotate", "box", "b", "note=hello") == "box.kubectl.test/b annotated"
    assert kubectl("get", "box", "b", "-o", "jsonpath={.metadata.annotations.note}") == "hello"
    kubectl("annotate", "box", "b", "note-")
    assert "annotations" not in kubectl.json("get", "box", "b")["metadata"]


@pytest.mark.parametrize("kind", ["box", "configmap"])
def test_emptied_metadata(kind: str, kubectl: Any) -> None:
    """A field of the metadata from which the last entry is taken is gone."""
    given = kubectl.box("x") if kind == "box" else {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    kubectl("create", "-f", "-", given=given)
    uid = kubectl("get", "namespace", "default", "-o", "jsonpath={.metadata.uid}")
    full = {
        "labels": {"a": "b"},
        "annotations": {"a": "b"},
        "finalizers": ["kubectl.test/hold"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": uid}],
    }
    kubectl("patch", kind, "x", "--type=merge", "-p", json.dumps({"metadata": full}))
    assert kubectl.json("get", kind, "x")["metadata"].keys() >= full.keys()
    emptied = [{"op": "replace", "path": f"/metadata/{field}", "value": type(value)()} for field, value in full.items()]
    kubectl("patch", kind, "x", "--type=json", "-p", json.dumps(emptied))
    assert not kubectl.json("get", kind, "x")["metadata"].keys() & full.keys()


def test_empty_fields(kubectl: Any) -> None:
    """Whether kubectl sends protobuf or JSON, empty fields are left out, except those whose absence means another."""
    kubectl("create", "deployment", "web", "--image=x")
    sent = kubectl.json("create", "deployment", "web", "--image=x", "--dry-run=client")
    sent["metadata"]["name"] = "web-json"
    pod = {"hostNetwork": False, "automountServiceAccountToken": False, "nodeSelector": {}, "volumes": []}
    sent["spec"] |= {"paused": False, "minReadySeconds": 0}
    sent["spec"]["template"]["spec"] |= pod
    sent["spec"]["template"]["spec"]["containers"][0] |= {"stdin": False, "args": []}
    kubectl("create", "-f", "-", given=sent)
    typed, plain = (kubectl.json("get", "deployment", name) for name in ("web", "web-json"))
    assert plain["spec"]["template"]["spec"].pop("automountServiceAccountToken") is False
    assert typed["spec"] == plain["spec"]
    assert typed["spec"].keys() == {
        "progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "selector", "strategy", "template"
    }  # fmt: skip
    assert typed["spec"]["template"]["metadata"] == {"labels": {"app": "web"}}
    (container,) = typed["spec"]["template"]["spec"]["containers"]
    assert container.keys() == {
        "image", "imagePullPolicy", "name", "resources", "terminationMessagePath", "terminationMessagePolicy"
    }  # fmt: skip
