"""The definitions on an API server, as users of kubectl meet them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gen_crds import CRDS
from safehold.api.kinds import KINDS
from sandbox.apiserver import running_api_server

CASES = Path(__file__).parent / "cases"
KUBECTL = Path(sys.executable).parent / "kubectl"

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """kubectl, on a server that has the definitions and the namespaces `payments` and `lab`."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as server:

        def call(*arguments: str, given: object = None, cache: str = str(tmp_path_factory.mktemp("cache"))) -> Any:
            command = [str(KUBECTL), "--kubeconfig", str(server.kubeconfig), "--cache-dir", cache, *arguments]
            text = json.dumps(given) if given is not None else None
            return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)

        for arguments in (
            ("apply", "--server-side", "-f", str(CRDS)),
            ("wait", "--for", "condition=Established", "crd", "--all", "--timeout=30s"),
            ("create", "namespace", "payments"),
            ("create", "namespace", "lab"),
        ):
            done = call(*arguments)
            assert done.returncode == 0, done.stderr
        yield call


def cells(line: str) -> list[str]:
    """The cells of a line of a table: columns are three spaces apart, within a cell there are at most single ones."""
    return [cell.strip() for cell in line.split("   ") if cell.strip()]


def test_good_objects(kubectl: Kubectl) -> None:
    """Every good case is stored, and `kubectl get safehold` finds objects of all six kinds."""
    for case in [*sorted(CASES.glob("*/good.yaml")), CASES / "vmrestore/new-vm.yaml"]:
        done = kubectl("apply", "-f", str(case))
        assert done.returncode == 0, done.stderr
    listed = kubectl("get", "safehold", "-A", "-o", "name").stdout
    assert {line.partition(".")[0] for line in listed.splitlines()} == {kind.singular for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_name_works(kubectl: Kubectl, kind: Any) -> None:
    """Plural, singular and short name mean the kind, and `kubectl explain` describes it."""
    for name in (kind.plural, kind.singular, kind.short_name):
        done = kubectl("get", name, "-A")
        assert done.returncode == 0, done.stderr
    explained = kubectl("explain", f"{kind.singular}.spec").stdout
    assert f"KIND:       {kind.kind}" in explained


def test_refusals_reach_the_user(kubectl: Kubectl) -> None:
    """Kubectl prints the rule's own sentence, for a creation and for a change."""
    done = kubectl("apply", "-f", str(CASES / "vmrestore/two-sources.yaml"))
    assert done.returncode == 1
    assert "spec.source: Invalid value" in done.stderr
    assert "give exactly one of backup, vm and point" in done.stderr
    assert kubectl("apply", "-f", str(CASES / "vmbackup/good.yaml")).returncode == 0
    change = kubectl(
        "-n", "payments", "patch", "vmb", "before-upgrade", "-p", '{"spec":{"vm":{"name":"x"}}}', "--type=merge"
    )
    assert change.returncode == 1
    assert "vm is immutable: a VMBackup is one run; create another one" in change.stderr


def test_columns(kubectl: Kubectl) -> None:
    """`kubectl get` shows a finished backup in one line that people can read."""
    assert kubectl("apply", "-f", str(CASES / "vmbackup/good.yaml")).returncode == 0
    status = {
        "phase": "Completed",
        "restorePoint": "20261122t140000-5f3a9c",
        "engine": "Scan",
        "consistency": {"reached": "Filesystem", "reason": "the guest agent froze the file systems"},
        "summary": {"frozen": "412ms", "uploaded": "199 MiB", "total": "6.00 GiB"},
    }
    patch = json.dumps({"status": status})
    done = kubectl(
        "-n", "payments", "patch", "vmb", "before-upgrade", "--subresource=status", "--type=merge", "-p", patch
    )
    assert done.returncode == 0, done.stderr
    head, row = map(cells, kubectl("-n", "payments", "get", "vmb", "before-upgrade").stdout.splitlines())
    assert head == ["NAME", "VM", "PHASE", "POINT", "ENGINE", "CONSISTENCY", "FROZEN", "UPLOADED", "PROGRESS", "AGE"]
    assert row[:-1] == [
        "before-upgrade",
        "payroll-db",
        "Completed",
        "20261122t140000-5f3a9c",
        "Scan",
        "Filesystem",
        "412ms",
        "199 MiB",
    ]


def test_status_is_apart(kubectl: Kubectl) -> None:
    """Who writes the object does not write its status: a user cannot forge what the operator observed."""
    forged = {
        "apiVersion": "safehold.dev/v1alpha1",
        "kind": "VMBackup",
        "metadata": {"name": "forged", "namespace": "payments"},
        "spec": {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "offsite"}},
        "status": {"restorePoint": "somebody-elses", "vmUID": "1"},
    }
    assert kubectl("create", "-f", "-", given=forged).returncode == 0
    stored = json.loads(kubectl("-n", "payments", "get", "vmb", "forged", "-o", "json").stdout)
    assert "status" not in stored
