"""The definitions in crds/: in step with the models, structural, and named like nobody else's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gen_crds import CHART, CRDS, definition, files
from generated_files import settle
from safehold.api.kinds import KINDS, KindDefinition
from sandbox.apiserver.schema import check_definition

SHARED_CRDS = Path(__file__).parents[2] / ".." / "shared" / "crds"

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)

TAKEN_NAMES = yaml.safe_load((Path(__file__).parent / "taken_names.yaml").read_text())
ACCEPTED_CLASHES = frozenset({"vmbackup", "vmbackups", "vmrestore", "vmrestores"})
"""KubeVirt's short names; kubectl prefers exact names, which are ours. KubeVirt's long names still reach its own."""


def own_names(kind: KindDefinition) -> set[str]:
    """All that the command line knows a kind by."""
    return {kind.plural, kind.singular, kind.short_name}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}" if path else name)
    for key, shown in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], path + shown)


def own_nodes(kind: KindDefinition) -> list[tuple[str, dict[str, Any]]]:
    """The nodes below spec and status."""
    root = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return [(path, node) for path, node in nodes(root) if path.startswith(("spec", "status"))]


def test_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    """crds/ holds exactly what is generated from the models."""
    for folder in (CRDS, CHART):
        assert settle(files(folder), folder=folder, check=True) == 0, capsys.readouterr().err


def test_drift_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check fails for a file that differs, one that is missing and one too many, and writing puts all right."""
    wanted = {tmp_path / "a.yaml": "a", tmp_path / "b.yaml": "b"}
    (tmp_path / "a.yaml").write_text("changed")
    (tmp_path / "c.yaml").write_text("c")
    assert settle(wanted, folder=tmp_path, check=True) == 1
    assert re.findall(r"^(\S+) is out of date", capsys.readouterr().err, re.MULTILINE) == ["a.yaml", "b.yaml", "c.yaml"]
    assert settle(wanted, folder=tmp_path, check=False) == 0
    assert {path: path.read_text() for path in tmp_path.iterdir()} == wanted


@EVERY_KIND
def test_accepted_by_the_server(kind: KindDefinition) -> None:
    """The schema is structural, its rules compile, and their estimated cost is within the server's budget."""
    assert [str(error) for error in check_definition(definition(kind))] == []


@EVERY_KIND
def test_everything_is_bounded(kind: KindDefinition) -> None:
    """Every string, list and map has a maximum, so that nobody fills the cluster's database."""
    unbounded = [
        path
        for path, node in own_nodes(kind)
        if (node["type"] == "string" and not {"maxLength", "enum", "format"} & set(node))
        or (node["type"] == "array" and "maxItems" not in node)
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]
    assert unbounded == []


@EVERY_KIND
def test_everything_is_described(kind: KindDefinition) -> None:
    """`kubectl explain` says something about every field."""
    silent = [path for path, node in own_nodes(kind) if not path.endswith(("[]", "{}")) and not node.get("description")]
    assert silent == []


@EVERY_KIND
def test_columns_show_fields(kind: KindDefinition) -> None:
    """Every printer column shows a field that exists, and the last one is the age."""
    paths = {path for path, _ in own_nodes(kind)} | {"metadata.creationTimestamp"}
    for column in kind.columns:
        plain = re.sub(r"\[\?\(.*?\)\]", "[]", column.path).removeprefix(".")
        assert plain in paths, column
    assert kind.columns[-1].name == "Age"


def test_no_secret_fields() -> None:
    """No field takes or shows secret material: Secrets are only named."""
    suspicious = re.compile(r"password|token|privatekey|secretaccesskey|accesskeyid", re.IGNORECASE)
    assert [path for kind in KINDS for path, _ in own_nodes(kind) if suspicious.search(path)] == []


def test_names_are_unique() -> None:
    """No two of our kinds share a name, and none is one of Kubernetes' or Velero's."""
    everyone = [name for kind in KINDS for name in own_names(kind)]
    assert len(everyone) == len(set(everyone))
    for owner, names in TAKEN_NAMES.items():
        assert set(everyone) & set(names.split()) == set(), owner


def test_names_differ_from_neighbours() -> None:
    """Beside KubeVirt, CDI and the CSI groups only the accepted names mean two things."""
    if not SHARED_CRDS.is_dir():
        pytest.skip("the definitions of KubeVirt, CDI and CSI are not beside the project (../shared/crds)")
    taken: set[str] = set()
    for path in SHARED_CRDS.glob("*/*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            names = (document or {}).get("spec", {}).get("names", {})
            taken |= {names.get("plural"), names.get("singular"), *names.get("shortNames", [])}
    assert "vmsnapshot" in taken
    clashes = {name for kind in KINDS for name in own_names(kind)} & taken
    assert clashes == ACCEPTED_CLASHES & taken
