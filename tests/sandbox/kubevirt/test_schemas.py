"""The sandbox's own schemas against the real ones, where those are on this machine."""

from __future__ import annotations

import pytest

from sandbox.apiserver.schema import CompiledSchema
from sandbox.cluster.client import Object
from sandbox.kubevirt.api.definitions import DEFINITIONS

from .real_schemas import real_definition
from .world import recording


def _schema(definition: Object, version: str) -> CompiledSchema:
    found = next(item for item in definition["spec"]["versions"] if item["name"] == version)
    return CompiledSchema(found["schema"]["openAPIV3Schema"])


def _ours(kind: str) -> tuple[CompiledSchema, Object]:
    definition = next(item for item in DEFINITIONS if item["spec"]["names"]["kind"] == kind)
    return _schema(definition, definition["spec"]["versions"][0]["name"]), definition


@pytest.mark.parametrize(
    "name", ["05", "06", "07", "09", "10", "20", "21", "22", "23", "31", "33", "34", "35", "40", "41", "42"]
)
def test_recorded_objects_pass_our_schemas_and_lose_nothing_that_a_backup_reads(name: str) -> None:
    """Every recorded object of our kinds is valid here; but for machines they keep every field."""
    checked = 0
    for record in recording(name):
        if record.kind not in {item["spec"]["names"]["kind"] for item in DEFINITIONS}:
            continue
        schema, _ = _ours(record.kind)
        assert schema.validate(record.obj) == []
        if record.kind not in ("VirtualMachine", "VirtualMachineInstance"):
            pruned = schema.prune(record.obj)
            assert (pruned["spec"], pruned.get("status")) == (record.obj["spec"], record.obj.get("status"))
        checked += 1
    assert checked > 5


_UNKNOWN = {"VirtualMachineInstanceMigration"}
"""Kinds whose real definition is not among those that were kept."""


@pytest.mark.parametrize(
    "definition",
    [item for item in DEFINITIONS if item["spec"]["names"]["kind"] not in _UNKNOWN],
    ids=lambda item: item["spec"]["names"]["kind"],
)
def test_names_versions_and_columns_are_the_real_ones(definition: Object) -> None:
    """What kubectl and clients see: plural, short names, the stored version, status subresource, columns."""
    real = real_definition(definition["metadata"]["name"])
    ours = definition["spec"]["versions"][0]
    version = next(item for item in real["spec"]["versions"] if item["name"] == ours["name"])
    assert version["storage"]
    assert real["spec"]["names"]["shortNames"] == definition["spec"]["names"]["shortNames"]
    assert ("subresources" in version) == ("subresources" in ours)
    columns = {(item["name"], item["type"], item["jsonPath"]) for item in version.get("additionalPrinterColumns") or []}
    assert {(item["name"], item["type"], item["jsonPath"]) for item in ours["additionalPrinterColumns"]} <= columns
