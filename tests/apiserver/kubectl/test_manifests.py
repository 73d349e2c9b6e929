"""Manifests of several objects: lists, documents, prune."""

import json
from typing import Any


def config_map(name: str, **more: Any) -> dict[str, Any]:
    """A labelled ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"part": "of"}}, **more}


def listed(*items: object) -> dict[str, Any]:
    """A List of objects."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def test_lists(kubectl: Any) -> None:
    """A List of built-in and custom objects is validated, created, applied and deleted as a whole."""
    both = listed(config_map("a"), kubectl.box("b"))
    assert kubectl("create", "-f", "-", given=both).split("\n") == ["configmap/a created", "box.kubectl.test/b created"]
    assert kubectl("apply", "-f", "-", given=both).split("\n") == [
        "configmap/a configured", "box.kubectl.test/b configured"
    ]  # fmt: skip
    kubectl("delete", "-f", "-", given=both)
    assert kubectl("get", "configmaps,boxes", "-l", "part", "-o", "name") == ""


def test_faults_in_lists(kubectl: Any) -> None:
    """Kubectl itself finds faults in the items of a List, by the models that it got from the server."""
    wrong = kubectl.refused("create", "-f", "-", given=listed(config_map("a", dtaa={})))
    assert 'ValidationError(ConfigMap): unknown field "dtaa" in io.k8s.api.core.v1.ConfigMap' in wrong
    wrong = kubectl.refused("create", "-f", "-", given=listed(kubectl.box("b", width=1)))
    assert 'ValidationError(Box.spec): unknown field "width" in test.kubectl.v1.Box.spec' in wrong
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"image": "x"}]}}
    missing = kubectl.refused("create", "-f", "-", given=listed(pod))
    assert 'missing required field "name" in io.k8s.api.core.v1.Container' in missing


def test_prune(kubectl: Any) -> None:
    """Apply with prune deletes what was applied before and is not in the manifest now."""
    apply = ("apply", "--prune", "-l", "part=of", "-f", "-")
    kubectl(*apply, given=listed(config_map("a"), config_map("b")))
    assert kubectl(*apply, given=listed(config_map("b"))).split("\n") == ["configmap/b unchanged", "configmap/a pruned"]
    assert kubectl("get", "configmaps", "-l", "part=of", "-o", "name") == "configmap/b"


def test_endpoints(kubectl: Any) -> None:
    """Endpoints print three addresses and how many follow; the server says that the kind is going."""
    ports = [{"port": 80}, {"port": 443, "name": "x"}]
    subsets = [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": ports}]
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}, "subsets": subsets}
    created = kubectl.run("create", "-f", "-", given=endpoints)
    assert "v1 Endpoints is deprecated in v1.33+" in created.stderr
    row = kubectl("get", "endpoints", "e").splitlines()[1]
    assert "10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more..." in row
    found = json.loads(kubectl("get", "ep", "e", "-o", "json"))
    assert [port["protocol"] for port in found["subsets"][0]["ports"]] == ["TCP", "TCP"]
