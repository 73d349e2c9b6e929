"""`safehold simulate retention`: what a policy's file means for years, without a cluster."""

import json
from pathlib import Path
from typing import Any

import pytest

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
        ("{keepDayly: 7}", "unknown fields in retention: expected", 1),
        ("{keepDaily: 0}", "keepDaily", 1),
        ("{keepDaily: [}", "is not YAML", 2),
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


def test_a_file_without_a_policy_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is missing."""
    path = tmp_path / "other.yaml"
    path.write_text("kind: ConfigMap")
    assert run(["simulate", "retention", "-f", str(path)]) == 2
    assert "holds no BackupPolicy" in capsys.readouterr().err
