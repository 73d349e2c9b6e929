"""What people read with kubectl: tables, columns, selections, watches, explanations."""

from typing import Any

import yaml


def test_get(kubectl: Any) -> None:
    """Get prints the definition's columns, more with -o wide, all of a category, and names with -o name."""
    assert kubectl.run("get", "boxes").stderr.strip() == f"No resources found in {kubectl.namespace} namespace."
    kubectl.create_box()
    header, row = kubectl("get", "bx").splitlines()
    assert header.split() == ["NAME", "SIZE", "AGE"]
    assert row.split()[:2] == ["b", "1"]
    assert kubectl("get", "box", "-o", "wide").splitlines()[1].split()[:3] == ["b", "1", "brown"]
    assert kubectl("get", "storage", "-o", "name") == "box.kubectl.test/b"
    assert kubectl("get", "box/b", "-o", "jsonpath={.spec.colour}") == "brown"
    assert kubectl("get", "box", "--field-selector", "metadata.name=x", "-o", "name") == ""
    assert yaml.safe_load(kubectl("get", "box", "b", "-o", "yaml"))["spec"] == {"size": 1, "colour": "brown"}
    message = 'Error from server (NotFound): boxes.kubectl.test "x" not found'
    assert kubectl.refused("get", "box", "x") == message


def test_labels(kubectl: Any) -> None:
    """Labels select, and are shown as columns."""
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        kubectl.create_box(name)
        kubectl("label", "box", name, f"colour={colour}")
    assert kubectl("get", "box", "-l", "colour=red", "-o", "name").split() == [
        "box.kubectl.test/a",
        "box.kubectl.test/c",
    ]
    assert kubectl("get", "box", "-l", "colour in (blue),!size", "-o", "name") == "box.kubectl.test/b"
    assert kubectl("get", "box", "-L", "colour").splitlines()[0].split() == ["NAME", "SIZE", "AGE", "COLOUR"]
    kubectl("label", "box", "a", "colour-")
    assert "already has a value" in kubectl.refused("label", "box", "b", "colour=green")


def test_describe(kubectl: Any) -> None:
    """Describe shows the object and its events."""
    kubectl.create_box()
    uid = kubectl("get", "box", "b", "-o", "jsonpath={.metadata.uid}")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "b.1", "namespace": kubectl.namespace},
        "involvedObject": {
            "apiVersion": "kubectl.test/v1",
            "kind": "Box",
            "name": "b",
            "namespace": kubectl.namespace,
            "uid": uid,
        },
        "reason": "Packed",
        "message": "everything is in",
        "type": "Normal",
        "source": {"component": "packer"},
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    kubectl("create", "-f", "-", given=event)
    text = kubectl("describe", "box", "b")
    assert f"Namespace:    {kubectl.namespace}" in text
    assert "Colour:  brown" in text
    assert "Packed" in text
    assert "everything is in" in text
    assert "Packed" in kubectl("get", "events")


def test_lists_in_chunks(kubectl: Any) -> None:
    """A list that is read in chunks is complete."""
    names = [f"c{number}" for number in range(7)]
    for name in names:
        kubectl("create", "configmap", name)
    found = kubectl("get", "configmaps", "--chunk-size=3", "-o", "jsonpath={.items[*].metadata.name}").split()
    assert [name for name in found if name in names] == names


def test_wait(kubectl: Any) -> None:
    """Wait returns when a condition or a field has its value, and fails when the time is over."""
    kubectl.create_box()
    ready = '{"status":{"phase":"Done","conditions":[{"type":"Ready","status":"True"}]}}'
    with kubectl.started("wait", "--for=condition=Ready", "box/b", "--timeout=20s") as waiting:
        kubectl("patch", "box", "b", "--subresource=status", "--type=merge", "-p", ready)
        out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, out.strip()) == (0, "box.kubectl.test/b condition met")
    kubectl("wait", "--for=jsonpath={.status.phase}=Done", "box/b", "--timeout=5s")
    assert "timed out waiting" in kubectl.refused("wait", "--for=condition=Never", "box/b", "--timeout=1s")


def test_watch(kubectl: Any) -> None:
    """Get -w prints what happens, as it happens."""
    kubectl.create_box("first")
    with kubectl.started("get", "box", "--watch", "--output-watch-events") as watching:
        assert watching.stdout
        lines = [watching.stdout.readline().split()[:3] for _ in range(2)]
        assert lines == [["EVENT", "NAME", "SIZE"], ["ADDED", "first", "1"]]
        kubectl.create_box("second")
        kubectl("patch", "box", "second", "--type=merge", "-p", '{"spec":{"size":2}}')
        kubectl("delete", "box", "second")
        lines = [watching.stdout.readline().split()[:3] for _ in range(3)]
    assert lines == [["ADDED", "second", "1"], ["MODIFIED", "second", "2"], ["DELETED", "second", "2"]]


def test_explain_and_api_resources(kubectl: Any) -> None:
    """Explain tells a field's type and text, also of built-in kinds; api-resources lists the kind."""
    text = kubectl("explain", "box.spec.size")
    assert "KIND:       Box" in text
    assert "FIELD: size <integer>" in text
    assert "How much fits in." in text
    assert "spec\t<Object>" in kubectl("explain", "box").replace("  ", "\t").replace("\t\t", "\t")
    assert "containers" in kubectl("explain", "pod.spec", "--recursive")
    row = next(row for row in kubectl("api-resources").splitlines() if row.startswith("boxes "))
    assert row.split() == ["boxes", "bx", "kubectl.test/v1", "true", "Box"]
    assert "kubectl.test/v1" in kubectl("api-versions").splitlines()
