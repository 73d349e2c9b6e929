"""The real definitions of KubeVirt 1.9, where they are on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.apiserver.schema import CompiledSchema
from sandbox.cluster.client import Object

REAL = Path(__file__).parents[3] / ".." / "shared" / "crds" / "kubevirt"


def real_definition(name: str) -> Object:
    """The definition of that name; skips the test where the real ones are absent."""
    if not REAL.is_dir():
        pytest.skip("the real definitions (../shared/crds) are not on this machine")
    documents = (yaml.safe_load(path.read_text()) for path in sorted(REAL.glob("*.yaml")))
    found: Object = next(document for document in documents if document["metadata"]["name"] == name)
    return found


def assert_really_valid(obj: Object, plural: str) -> None:
    """The object passes the real schema and loses no field to its pruning."""
    group, _, version = obj["apiVersion"].partition("/")
    definition = real_definition(f"{plural}.{group}")
    found = next(item for item in definition["spec"]["versions"] if item["name"] == version)
    schema = CompiledSchema(found["schema"]["openAPIV3Schema"])
    assert schema.validate(obj) == []
    pruned = schema.prune(obj)
    assert (pruned["spec"], pruned.get("status")) == (obj["spec"], obj.get("status"))
