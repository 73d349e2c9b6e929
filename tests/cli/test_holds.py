"""`safehold hold` and `safehold release`: by a VMBackup in a cluster, and beside the point in the bucket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gen_crds import CRDS
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, VM_BACKUP
from sandbox.apiserver import running_api_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cli.conftest import Shell

POINT = f"{'a' * 16}-000001-{'b' * 16}"
TARGET = {"kind": "ClusterBackupTarget", "name": "primary"}


def placed(shell: Shell, verb: str, *arguments: str, code: int = 0) -> Any:
    """`safehold hold` or `release` in the bucket: the JSON, or what was said where there is none."""
    place = ("--repository", f"s3://cli/{shell.folder.name}/repository", "--endpoint-url", shell.store.endpoint_url)
    done = shell(verb, *arguments, *place, "--output", "json", code=code)
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_a_point_in_a_bucket_is_held_until_it_is_released(shell: Shell) -> None:
    """`repo points` says why, `repo forget` refuses it, and both end with the release."""
    point = str(shell.backup("disk")["restorePoint"])
    held = placed(shell, "hold", point, "--reason", "audit 2026")
    assert (held["restorePoint"], held["held"], held["reason"]) == (point, True, "audit 2026")
    (listed,) = shell.repo("points")
    assert [hold["reason"] for hold in listed["holds"]] == ["audit 2026"]
    assert "audit 2026" in shell.repo_text("points").stdout
    assert "is held in the repository (audit 2026)" in shell.repo("forget", point, code=1)
    assert len(shell.repo("points")) == 1
    assert shell.repo("check", "--read-data")["sound"] is True
    assert placed(shell, "release", point)["released"] == 1
    shell.repo("forget", point)
    assert shell.repo("points") == []


def test_what_is_not_there_cannot_be_held(shell: Shell) -> None:
    """A typing error must not look like a point that is safe."""
    shell.backup("disk")
    assert "does not exist" in placed(shell, "hold", POINT, "--reason", "x", code=1)
    assert "is not the id of a restore point" in placed(shell, "hold", "db-1", "--reason", "x", code=1)
    assert "--reason is empty" in placed(shell, "hold", POINT, "--reason", " ", code=2)


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    """A cluster with a finished VMBackup, one that failed, and nothing else."""
    with running_api_server(tmp_path / "server") as server:
        async with Cluster.connect(server.kubeconfig) as cluster:
            for path in sorted(CRDS.glob("*.yaml")):
                await cluster.create_if_absent(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))
            await cluster.create(NAMESPACE, {"metadata": {"name": "shop"}})
            for name, point in (("db-1", POINT), ("db-2", None)):
                manifest = {"metadata": {"name": name, "namespace": "shop"}}
                await cluster.create(VM_BACKUP, {**manifest, "spec": {"vm": {"name": "db"}, "targetRef": TARGET}})
                status = {"completionTime": "2026-11-23T04:00:00Z", **({"restorePoint": point} if point else {})}
                await cluster.merge_patch(VM_BACKUP, name, "shop", {"status": status}, subresource="status")
        yield server.kubeconfig


async def spec_of(kubeconfig: Path, name: str) -> Manifest:
    """Of a VMBackup."""
    async with Cluster.connect(kubeconfig) as cluster:
        spec: Manifest = (await cluster.read(VM_BACKUP, name, "shop"))["spec"]
        return spec


@pytest.mark.parametrize("named", ["db-1", POINT])
async def test_a_vmbackup_is_held_with_its_reason(shell: Shell, kubeconfig: Path, named: str) -> None:
    """It is found by its name, and by its point's id; the release takes hold and reason away."""
    place = ("-n", "shop", "--kubeconfig", str(kubeconfig))
    said = shell("hold", named, "--reason", "audit 2026", *place).stdout
    assert "is held by VMBackup shop/db-1: audit 2026" in said
    spec = await spec_of(kubeconfig, "db-1")
    assert (spec["hold"], spec["holdReason"]) == (True, "audit 2026")
    found = json.loads(shell("release", named, *place, "--output", "json").stdout)
    assert found == {"restorePoint": POINT, "namespace": "shop", "vmBackup": "db-1", "held": False}
    spec = await spec_of(kubeconfig, "db-1")
    assert (spec["hold"], "holdReason" in spec) == (False, False)


async def test_mistakes_get_a_clear_answer(shell: Shell, kubeconfig: Path) -> None:
    """A name that nobody has, a point without a VMBackup, a VMBackup without a point, no reason, no cluster."""
    place = ("-n", "shop", "--kubeconfig", str(kubeconfig))
    assert "does not exist" in shell("hold", "db-9", "--reason", "x", *place, code=1).stderr
    other = POINT.replace("000001", "000002")
    assert "give --repository" in shell("hold", other, "--reason", "x", *place, code=1).stderr
    assert "no restore point that could be held" in shell("hold", "db-2", "--reason", "x", *place, code=1).stderr
    assert "--reason" in shell("hold", "db-1", *place, code=2).stderr
    assert "no kubeconfig" in shell("release", "db-1", "--kubeconfig", "absent", code=2).stderr
