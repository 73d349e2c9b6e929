"""How objects, namespaces and definitions end."""

import copy
from collections.abc import Callable
from typing import Any

import pytest


def owned(name: str, owner: dict[str, Any]) -> dict[str, Any]:
    """A ConfigMap that belongs to a box."""
    reference = {
        "apiVersion": "kubectl.test/v1",
        "kind": "Box",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [reference]}}


@pytest.mark.parametrize(("cascade", "child_stays"), [("background", False), ("foreground", False), ("orphan", True)])
def test_delete(cascade: str, child_stays: bool, kubectl: Any, until: Callable[[Callable[[], bool]], None]) -> None:
    """Delete takes the children along, before or after the owner, or leaves them as orphans."""
    kubectl.create_box()
    kubectl("create", "-f", "-", given=owned("child", kubectl.json("get", "box", "b")))
    deleted = kubectl("delete", "box", "b", f"--cascade={cascade}", "--timeout=20s")
    assert deleted == f'box.kubectl.test "b" deleted from {kubectl.namespace} namespace'
    assert "NotFound" in kubectl.refused("get", "box", "b")
    if child_stays:
        assert "ownerReferences" not in kubectl.json("get", "configmap", "child")["metadata"]
    else:
        until(lambda: kubectl.run("get", "configmap", "child").returncode != 0)


def test_finalizers(kubectl: Any) -> None:
    """An object with a finalizer stays, marked, until the finalizer is gone."""
    held = kubectl.box()
    held["metadata"]["finalizers"] = ["kubectl.test/hold"]
    kubectl("create", "-f", "-", given=held)
    kubectl("delete", "box", "b", "--wait=false")
    assert kubectl.json("get", "box", "b")["metadata"]["deletionTimestamp"]
    with kubectl.started("wait", "--for=delete", "box/b", "--timeout=20s") as waiting:
        kubectl("patch", "box", "b", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
        out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, out


def test_delete_all(kubectl: Any) -> None:
    """A selector or --all deletes many."""
    for name in "abc":
        kubectl.create_box(name)
    kubectl("label", "box", "a", "x=y")
    kubectl("delete", "box", "-l", "x=y")
    assert kubectl("get", "box", "-o", "name").split() == ["box.kubectl.test/b", "box.kubectl.test/c"]
    kubectl("delete", "box", "--all")
    assert kubectl("get", "box", "-o", "name") == ""


def test_namespaces_end(kubectl: Any, until: Callable[[Callable[[], bool]], None]) -> None:
    """A namespace takes its content along and refuses new content meanwhile."""
    namespace = f"{kubectl.namespace}-inner"
    inner = ("-n", namespace)
    kubectl("create", "namespace", namespace)
    held = kubectl.box()
    held["metadata"]["finalizers"] = ["kubectl.test/hold"]
    kubectl("create", "-f", "-", *inner, given=held)
    kubectl("delete", "namespace", namespace, "--wait=false")
    until(lambda: kubectl("get", "namespace", namespace, "-o", "jsonpath={.status.phase}") == "Terminating")
    refused = kubectl.refused("create", "-f", "-", *inner, given=kubectl.box("late"))
    assert f"unable to create new content in namespace {namespace} because it is being terminated" in refused
    until(lambda: "deletionTimestamp" in kubectl.json("get", "box", "b", *inner)["metadata"])
    kubectl("patch", "box", "b", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]', *inner)
    kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=20s")


def test_definitions_are_checked(kubectl: Any, boxes: dict[str, Any]) -> None:
    """A definition that a real server would refuse is refused with its words."""
    wrong = copy.deepcopy(boxes)
    wrong["metadata"]["name"] = "crates.kubectl.test"
    wrong["spec"]["names"] = {"plural": "crates", "singular": "crate", "kind": "Crate", "listKind": "CrateList"}
    spec = wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["free"] = {"type": "array", "items": {"type": "string"}}
    spec["x-kubernetes-validations"] = [{"rule": "self.free.all(x, self.free.exists_one(y, x == y))"}]
    refused = kubectl.refused("apply", "-f", "-", given=wrong)
    assert "Forbidden: estimated rule cost exceeds budget by factor of more than 100x" in refused
    assert "NotFound" in kubectl.refused("get", "crd", "crates.kubectl.test")


def test_definitions_end_with_their_objects(kubectl: Any, boxes: dict[str, Any]) -> None:
    """Deleting a definition deletes its objects, and the kind is gone."""
    brief = copy.deepcopy(boxes)
    brief["metadata"]["name"] = "bags.kubectl.test"
    brief["spec"]["names"] = {"plural": "bags", "singular": "bag", "kind": "Bag", "listKind": "BagList"}
    kubectl("apply", "-f", "-", given=brief)
    kubectl("wait", "--for=condition=Established", "crd/bags.kubectl.test", "--timeout=20s")
    kubectl("create", "-f", "-", given={**kubectl.box(), "kind": "Bag"})
    kubectl("delete", "crd", "bags.kubectl.test", "--timeout=20s")
    # kubectl may still remember the kind; then the server does not know it.
    gone = kubectl.refused("get", "bags")
    assert "the server doesn't have a resource type" in gone or "could not find the requested resource" in gone
