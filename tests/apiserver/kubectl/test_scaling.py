"""scale and rollout: the number of replicas, whatever the kind."""

import json
from typing import Any

import pytest

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
PATCH = [
    {"op": "test", "path": "/spec/replicas", "value": 7},
    {"op": "replace", "path": "/spec/replicas", "value": 8},
]


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_scale(kind: str, kubectl: Any) -> None:
    """Scale sets the replicas, on condition of their present number if asked, and shows them with the selector."""
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}
    workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}}
    kubectl("create", "-f", "-", given={**workload, "spec": {"selector": selector, "template": TEMPLATE}})
    kubectl("scale", kind, "web", "--replicas=3")
    kubectl("scale", kind, "web", "--replicas=2", "--current-replicas=3")
    assert "Expected replicas to be 3, was 2" in kubectl.refused(
        "scale", kind, "web", "--replicas=9", "--current-replicas=3"
    )
    assert kubectl("get", kind, "web", "-o", "jsonpath={.spec.replicas}") == "2"
    scale = kubectl.json("get", kind, "web", "--subresource=scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=web,!x"}
    kubectl("scale", kind, "web", "--replicas=0")
    assert kubectl("get", kind, "web", "-o", "jsonpath={.spec.replicas}") == "0"


def test_scale_custom_objects(kubectl: Any) -> None:
    """A definition says where the replicas are; its schema holds for scaling too."""
    kubectl.create_box()
    kubectl("scale", "box", "b", "--replicas=7")
    kubectl("patch", "box", "b", "--subresource=scale", "--type=json", "-p", json.dumps(PATCH))
    found = kubectl.json("get", "box", "b", "--show-managed-fields")
    assert (found["spec"]["size"], found["metadata"]["generation"]) == (8, 3)
    assert {entry.get("subresource") for entry in found["metadata"]["managedFields"]} == {None, "scale"}
    assert "should be less than or equal to 10" in kubectl.refused("scale", "box", "b", "--replicas=11")
    negative = '{"spec":{"replicas":-1}}'
    refused = kubectl.refused("patch", "box", "b", "--subresource=scale", "--type=merge", "-p", negative)
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in refused


def test_kinds_without_scale(kubectl: Any) -> None:
    """Other kinds have no scale."""
    kubectl("create", "configmap", "c")
    assert "NotFound" in kubectl.refused("scale", "configmap", "c", "--replicas=1")


def test_rollout(kubectl: Any) -> None:
    """Rollout waits until the status tells that all replicas are of the present generation."""
    kubectl("create", "deployment", "web", "--image=x")
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    status = json.dumps({"status": {"observedGeneration": 1, **counts}})
    with kubectl.started("rollout", "status", "deploy/web", "--timeout=20s") as rollout:
        kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", status)
        out, _ = rollout.communicate(timeout=30)
    assert (rollout.returncode, out.splitlines()[-1]) == (0, 'deployment "web" successfully rolled out')
