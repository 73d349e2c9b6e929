"""`safehold simulate retention`: what a policy's file means for years, without a cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.cli.program import run

POLICY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: passed-over}
---
apiVersion: safehold.dev/v1alpha1
kind: BackupPolicy
metadata: {name: gold, namespace: shop}
spec:
  schedule: "0 1 * * *"
  timeZone: Europe/Berlin
  targetRef: {kind: ClusterBackupTarget, name: primary}
  retention: %s
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A file whose policy keeps a week and half a year."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY % "{keepDaily: 7, keepMonthly: 6}")
    return path


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON of a run that succeeds."""
    assert run(["simulate", "retention", *arguments, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_is_played_for_years(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, the points at the end of each year, those at the end with reasons, and the next to go."""
    [found] = simulated(capsys, "-f", str(policy), "--years", "2", "--start", "2026-01-01", "--deletions", "2")
    assert (found["kind"], found["namespace"], found["name"]) == ("BackupPolicy", "shop", "gold")
    assert (found["made"], found["peak"]) == (729, 14)
    assert found["years"][1] == {
        "time": "2028-01-01T00:00:00+00:00",
        "points": 13,
        "oldest": "2027-06-29T23:00:00+00:00",
    }
    assert [point["rule"] for point in found["points"]] == ["keepDaily"] * 7 + ["keepMonthly"] * 6
    assert found["points"][0]["time"] == "2027-12-31T00:00:00+00:00"
    assert [deletion["time"] for deletion in found["nextDeletions"]] == [
        "2028-01-01T04:00:00+00:00",
        "2028-01-02T04:00:00+00:00",
    ]


def test_people_get_tables(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The peak, the years and the reasons are in words."""
    assert run(["simulate", "retention", "-f", str(policy), "--start", "2026-01-01"]) == 0
    said = capsys.readouterr().out
    for words in ("most at once", "At the end of each year", "keepMonthly: newest of the month", "Next deletions"):
        assert words in said


def test_a_policy_without_retention_keeps_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the operator does."""
    path = tmp_path / "policy.yaml"
    path.write_text((POLICY % "").replace("  retention: \n", ""))
    [found] = simulated(capsys, "-f", str(path), "--years", "1", "--start", "2026-01-01")
    assert (found["made"], found["forgotten"], found["nextDeletions"]) == (364, 0, [])


@pytest.mark.parametrize(
    ("retention", "said", "code"),
    [
        ("{}", "at least one keep rule", 1),
        ("{minimumAge: 30d}", "at least one keep rule", 1),
        ("{keepDayly: 7}", "unknown field spec.retention.keepDayly", 1),
        ("{keepDaily: 0}", "keepDaily", 1),
        ("{keepDaily: [}", "is not YAML", 2),
        ("{keepDaily: 7, deletedVMGrace: 7d}", "deletedVMGrace says when afterVMDeleted: Delete takes effect", 1),
    ],
)
def test_what_would_keep_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], retention: str, said: str, code: int
) -> None:
    """With one sentence, as the API server does it."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY % retention)
    assert run(["simulate", "retention", "-f", str(path)]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"kind: ConfigMap",
        b"just words",
        b"- 1\n---\nitems: 5\n---\nitems: [3]",
        b"apiVersion: example.org/v1\nkind: BackupPolicy\nspec: {schedule: '@daily'}",
    ],
)
def test_a_file_without_a_policy_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Whatever else is in it, also a policy of others; it says what is missing."""
    path = tmp_path / "other.yaml"
    path.write_bytes(content)
    for verb in ("retention", "schedule"):
        assert run(["simulate", verb, "-f", str(path)]) == 2
        assert "holds no BackupPolicy and no ClusterBackupPolicy of safehold.dev/v1alpha1" in capsys.readouterr().err


def test_a_file_that_is_no_text_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as a compressed one."""
    path = tmp_path / "policy.yaml.gz"
    path.write_bytes(b"\x1f\x8b\x08\xff")
    assert run(["simulate", "retention", "-f", str(path)]) == 2
    assert "is not YAML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shedule": "@daily"}, "unknown field spec.shedule"),
        ({"keep_daily": 7}, "unknown field spec.keep_daily"),
        ({"windows": [{"from": "22:00", "to": "06:00", "day": "Mon"}]}, "unknown field spec.windows.0.day"),
        ({"schedule": None}, "exactly one of schedule and schedules"),
        ({"schedules": [{"name": "weekly", "schedule": "@weekly"}]}, "exactly one of schedule and schedules"),
        ({"schedule": "every day"}, "not a cron line of five fields"),
        ({"schedule": "0 0 31 2 *"}, "Bad day-of-month"),
        ({"spread": "30h"}, "write a shorter spread"),
        ({"timeZone": "Mars/Olympus"}, "spec.timeZone is not in the IANA"),
        ({"windows": [{"from": "01:00", "to": "01:00"}]}, "from and to must differ"),
        ({"blackouts": [{"from": "00:00", "to": "24:00"}]}, "leave no moment for a run to start"),
        ({"targetRef": None}, "is not valid at spec.targetRef"),
        ({"schedules": 5}, "is not valid at spec.schedules"),
    ],
)
def test_a_policy_that_the_api_server_or_the_operator_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    """Is refused here too, so that a review of a pull request sees it."""
    spec = {"schedule": "@daily", "targetRef": {"kind": "BackupTarget", "name": "own"}, **change}
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(_policy("BackupPolicy", spec)))
    for verb in ("retention", "schedule"):
        assert run(["simulate", verb, "-f", str(path)]) == 1
        assert said in capsys.readouterr().err


def test_a_cluster_policy_writes_to_a_cluster_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A BackupTarget serves only its own namespace."""
    target = {"kind": "BackupTarget", "name": "own"}
    path = tmp_path / "policy.yaml"
    spec = {"schedule": "@daily", "namespaceSelector": {}, "targetRef": target}
    path.write_text(yaml.safe_dump(_policy("ClusterBackupPolicy", spec)))
    assert run(["simulate", "retention", "-f", str(path)]) == 1
    assert "writes to a ClusterBackupTarget" in capsys.readouterr().err


def test_several_policies_are_played_unless_they_have_one_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one file, as documents or as a list; which of two with one name would apply nobody can say."""
    spec = {"schedule": "@daily", "targetRef": {"kind": "BackupTarget", "name": "own"}}
    gold, silver = (_policy("BackupPolicy", spec, name=name) for name in ("gold", "silver"))
    path = tmp_path / "policies.yaml"
    path.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, {"kind": "List", "items": [gold, silver]}]))
    assert [found["name"] for found in simulated(capsys, "-f", str(path), "--years", "1")] == ["gold", "silver"]
    path.write_text(yaml.safe_dump_all([gold, silver, gold]))
    assert run(["simulate", "retention", "-f", str(path)]) == 2
    assert "more than one of a name: found BackupPolicy gold" in capsys.readouterr().err


def _policy(kind: str, spec: dict[str, Any], name: str = "gold") -> dict[str, Any]:
    written = {field: value for field, value in spec.items() if value is not None}
    return {"apiVersion": "safehold.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": written}
