"""What the API server accepts of users, and what it tells them: one YAML file per case under `cases/`.

One document is a creation, two are an update from the first to the second. The `.err` file beside a case has one line
`path: part of the message` per expected error; a case without one is accepted.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gen_crds import definition
from safehold.api.kinds import KINDS
from sandbox.apiserver.schema import CompiledSchema

CASES = Path(__file__).parent / "cases"
KIND_OF_FOLDER = {kind.singular: kind for kind in KINDS}
SCHEMAS = {
    kind.singular: CompiledSchema(definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    for kind in KINDS
}
CASE_FILES = sorted(CASES.glob("*/*.yaml"))


def answer(schema: CompiledSchema, new: dict[str, Any], old: dict[str, Any] | None) -> list[str]:
    """What a server with strict field validation says; nothing if it stores the object."""
    unknown = [f"{path}: unknown field" for path in schema.unknown_fields(new)]
    return unknown or [str(error) for error in schema.validate(schema.default(new), old)]


@pytest.mark.parametrize("case", CASE_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(case: Path) -> None:
    """The object is accepted, or every fault in it is reported at its place, and nothing else is."""
    schema = SCHEMAS[case.parent.name]
    *olds, new = yaml.safe_load_all(case.read_text())
    for old in olds:
        assert answer(schema, old, None) == []
    errors = answer(schema, new, schema.default(olds[0]) if olds else None)
    expected_file = case.with_suffix(".err")
    expected = expected_file.read_text().splitlines() if expected_file.exists() else []
    assert len(errors) == len(expected), errors
    for line in expected:
        path, _, message = line.partition(": ")
        assert any(error.startswith(path) and message in error for error in errors), (line, errors)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_has_cases(kind: Any) -> None:
    """Every kind has an object that is accepted and one that is refused."""
    cases = [case for case in CASE_FILES if case.parent.name == kind.singular]
    assert {case.with_suffix(".err").exists() for case in cases} == {True, False}


def test_no_stray_expectations() -> None:
    """Every `.err` file belongs to a case, and every folder to a kind."""
    assert {path.with_suffix(".yaml") for path in CASES.glob("*/*.err")} <= set(CASE_FILES)
    assert {case.parent.name for case in CASE_FILES} == set(KIND_OF_FOLDER)


def test_defaults() -> None:
    """The server fills in the documented defaults, also those of objects that the user left out."""
    policy = yaml.safe_load((CASES / "backuppolicy/least.yaml").read_text())
    assert SCHEMAS["backuppolicy"].default(policy)["spec"] == {
        "schedule": "0 3 * * *",
        "timeZone": "UTC",
        "circuitBreaker": {"failures": 3, "maxDelay": "6h"},
        "retry": {"attempts": 3, "delay": "5m"},
        "suspend": False,
        "targetRef": {"kind": "BackupTarget", "name": "offsite"},
        "consistency": {"level": "Crash", "freezeTimeout": "60s"},
        "volumes": {},
        "memoryDump": False,
        "changedBlocks": {"engines": ["CSI", "Scan"], "verifyEvery": "7d"},
        "hooks": {"pre": [], "post": []},
        "objectives": {},
        "deletionPolicy": "Retain",
    }
    target = yaml.safe_load((CASES / "clusterbackuptarget/good.yaml").read_text())
    assert SCHEMAS["clusterbackuptarget"].default(target)["spec"] == {
        **target["spec"],
        "s3": {"bucket": "vm-backups", "prefix": "", "forcePathStyle": True},
        "encryption": {"keySecretRef": {"name": "repository-key", "key": "repository.key"}},
        "maintenance": {"schedule": "0 4 * * *", "timeZone": "UTC", "suspend": False},
        "accessMode": "ReadWrite",
    }
