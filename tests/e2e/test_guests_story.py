"""The story that `make demo` tells."""

import os
from pathlib import Path

import pytest

from sandbox.demo.report import Report
from sandbox.demo.story import BUCKET, MACHINES, Story
from sandbox.guest.machine import qemu_installed
from sandbox.up import Sandbox


@pytest.mark.skipif(os.geteuid() != 0, reason="the sandbox's kubelet needs root")
@pytest.mark.skipif(not qemu_installed(), reason="QEMU is not installed: run `make system` as root")
async def test_policy_backs_up_guests_and_restores_bring_them_back(tmp_path: Path) -> None:
    """Two runs of a policy, the second incremental; a wiped guest comes back in place, and an older point elsewhere.

    The story itself checks the restored guests from inside.
    """
    async with Sandbox(tmp_path / "state", buckets=[BUCKET]) as sandbox:
        backups = await Story(sandbox, Report()).tell()
    first, second = backups[: len(MACHINES)], backups[len(MACHINES) :]
    assert [backup["spec"]["vm"]["name"] for backup in backups] == [*MACHINES, *MACHINES]
    for full, incremental in zip(first, second, strict=True):
        assert "parent" not in full["status"]
        assert full["status"]["bytesChanged"] <= full["status"]["bytesRead"] < full["status"]["bytesTotal"]
        assert incremental["status"]["parent"] == full["status"]["restorePoint"]
        assert 0 < incremental["status"]["bytesChanged"] < full["status"]["bytesChanged"]
        assert incremental["status"]["bytesUploaded"] < full["status"]["bytesUploaded"]
    for backup in backups:
        consistency = backup["status"]["consistency"]
        assert (consistency["reached"], consistency["frozenObservation"]) == ("Filesystem", "Observed")
        assert 0 < consistency["frozenMillis"] < 60_000
        for volume in backup["status"]["volumes"]:
            assert volume["engine"] == ("CSI" if volume["mode"] == "Block" else "Scan")
