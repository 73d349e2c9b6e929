"""`safehold simulate schedule`: a fleet's days, planned and as plain cron, without a cluster."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from safehold.cli.program import run

POLICY = """
apiVersion: safehold.dev/v1alpha1
kind: BackupPolicy
metadata: {name: gold, namespace: shop}
spec:
  schedule: "0 22 * * *"
  spread: 2h
  targetRef: {kind: ClusterBackupTarget, name: primary}
"""
DAY = timedelta(days=1)
FIRST = datetime(2026, 11, 2, 22, 0, tzinfo=UTC)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A file with a nightly policy of the shop."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def backup(vm: str, day: int, *, namespace: str = "shop", label: str = "gold", **status: Any) -> dict[str, Any]:
    """A VMBackup of that day, as kubectl prints it: it took half an hour."""
    began = FIRST + day * DAY
    return {
        "apiVersion": "safehold.dev/v1alpha1",
        "kind": "VMBackup",
        "metadata": {
            "name": f"{vm}-{day}",
            "namespace": namespace,
            "creationTimestamp": began.isoformat(),
            "labels": {"safehold.dev/policy": label},
        },
        "spec": {"vm": {"name": vm}, "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"}},
        "status": {
            "startTime": began.isoformat(),
            "completionTime": (began + DAY / 48).isoformat(),
            "restorePoint": f"{vm}-{day}",
            "bytesRead": 1000,
            "bytesUploaded": 500,
            **status,
        },
    }


def export(tmp_path: Path, *items: dict[str, Any]) -> str:
    """A file as kubectl writes it."""
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return str(path)


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON of a run that succeeds."""
    assert run(["simulate", "schedule", "--start", "2026-11-23", *arguments, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_made_up_fleet_is_played_twice(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same runs, planned and by cron, within the limit; the same seed says the same, another one something else."""
    arguments = ("-f", str(policy), "--vms", "20", "--days", "3", "--max-active-runs", "3")
    found = simulated(capsys, *arguments)
    assert (found["vms"], found["days"], found["start"]) == (20, 3, "2026-11-23T00:00:00+00:00")
    for way in ("safehold", "cron"):
        assert found[way]["runs"] == 60
        assert found[way]["peakRuns"] <= 3
    assert simulated(capsys, *arguments) == found
    assert simulated(capsys, *arguments, "--seed", "2") != found


def test_an_exported_fleet_costs_what_it_did(tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four VMs of half an hour each, one after the other: without spread two hours, and 500 bytes in each half hour."""
    fleet = export(tmp_path, *(backup(f"vm-{number}", day) for number in range(4) for day in range(7)))
    found = simulated(capsys, "-f", str(policy), "--fleet", fleet, "--days", "1", "--max-active-runs", "1")
    assert found["vms"] == 4
    assert found["cron"]["makespan"] == 2 * 3600
    assert found["cron"]["longestWait"] == 1.5 * 3600
    assert found["cron"]["peakBytesPerSecond"] == pytest.approx(500 / 1800)
    assert found["safehold"]["missedDeadlines"] == 0


def test_an_objective_of_the_policy_is_what_counts(
    tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A point may get a day and ten minutes old, but the next one takes half an hour: all four VMs miss it once."""
    policy.write_text(POLICY.replace("  spread: 2h", "  objectives: {rpo: 24h10m}"))
    fleet = export(tmp_path, *(backup(f"vm-{number}", 0) for number in range(4)))
    found = simulated(capsys, "-f", str(policy), "--fleet", fleet, "--days", "2", "--max-active-runs", "1")
    assert found["cron"]["missedDeadlines"] == 4


def test_the_limit_of_a_target_holds(tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both ways."""
    fleet = export(tmp_path, *(backup(f"vm-{number}", 0) for number in range(6)))
    found = simulated(capsys, "-f", str(policy), "--fleet", fleet, "--max-active-runs-per-target", "2")
    assert (found["safehold"]["peakRuns"], found["cron"]["peakRuns"]) == (2, 2)


def test_the_vms_are_those_that_the_policy_has_backed_up(
    tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not those of another policy, nor of another namespace; a new policy has all of its namespace."""
    others = (backup("other", 0, label="silver"), backup("far", 0, namespace="bank"))
    fleet = export(tmp_path, backup("db", 0), *others)
    assert simulated(capsys, "-f", str(policy), "--fleet", fleet, "--days", "1")["vms"] == 1
    fleet = export(tmp_path, *others, backup("db", 0, label="silver"))
    assert simulated(capsys, "-f", str(policy), "--fleet", fleet, "--days", "1")["vms"] == 2


def test_people_get_a_table(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Makespan, missed RPOs and peaks, side by side."""
    assert run(["simulate", "schedule", "-f", str(policy), "--vms", "10", "--days", "2", "--start", "2026-11-23"]) == 0
    said = capsys.readouterr().out
    for words in ("2 days of 10 VMs", "Safehold", "plain cron", "makespan", "missed RPOs", "peak: sent to the targets"):
        assert words in said


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        ("[", "is not JSON", 2),
        ("{}", "is not a list of VMBackups", 2),
        ('{"items": []}', "holds no VMBackup that has succeeded", 2),
        (json.dumps({"items": [backup("db", 0, restorePoint=None)]}), "holds no VMBackup that has succeeded", 2),
        (json.dumps({"items": [backup("db", 0, startTime="yesterday")]}), "not valid at status.startTime", 2),
        (json.dumps({"items": [backup("db", 0, namespace="bank")]}), "The fleet has no VM for shop/gold", 2),
    ],
)
def test_an_export_that_tells_nothing_is_wrong_usage(
    tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str], content: str, said: str, code: int
) -> None:
    """With one sentence."""
    (tmp_path / "fleet.json").write_text(content)
    assert run(["simulate", "schedule", "-f", str(policy), "--fleet", str(tmp_path / "fleet.json")]) == code
    assert said in capsys.readouterr().err


def test_a_fleet_is_either_recorded_or_made_up(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not both."""
    assert run(["simulate", "schedule", "-f", str(policy), "--fleet", "x", "--vms", "3"]) == 2
    assert "exclude each other" in capsys.readouterr().err
