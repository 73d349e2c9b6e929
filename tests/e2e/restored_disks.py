"""A point's disks, restored by the command line into files, and looked at on the host."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.world import BUCKET, SHARED, World

from sandbox.cluster.client import Object
from sandbox.demo.guests import Proof

_NEEDS_RECOVERY = 0x4
_INCOMPATIBLE_FEATURES = 1024 + 0x60
"""Offset of ext4's flags of incompatible features."""


@dataclass(frozen=True)
class Disks:
    """Restores points of the target `shared` into `scratch`, without the cluster."""

    world: World
    scratch: Path

    async def proofs(self, backup: Object) -> list[Proof]:
        """What each disk of a VMBackup's point holds; the files are removed again."""
        folder = self.scratch / backup["metadata"]["name"]
        folder.mkdir(parents=True)
        try:
            found = []
            for volume in backup["status"]["volumes"]:
                disk = folder / f"{volume['name']}.img"
                await self.restore(backup, volume["name"], disk)
                found.append(await asyncio.to_thread(prove, disk, volume["name"]))
            return found
        finally:
            await asyncio.to_thread(shutil.rmtree, folder)

    async def restore(self, backup: Object, volume: str, disk: Path) -> None:
        """One volume of the point, as a file."""
        key = disk.with_suffix(".key")
        key.write_text(self.world.key.text())
        key.chmod(0o600)
        status = backup["status"]
        await _run(
            *(sys.executable, "-m", "safehold", "volume", "restore", str(disk)),
            *("--repository", f"s3://{BUCKET}/cluster/{SHARED}", "--endpoint-url", self.world.sandbox.s3_endpoint),
            *("--key-file", str(key), "--key-domain", f"namespace/{status['namespaceUID']}"),
            *("--restore-point", status["restorePoint"], "--volume", volume),
            environment={"AWS_SHARED_CREDENTIALS_FILE": str(self.world.sandbox.s3_credentials)},
        )


def prove(disk: Path, name: str) -> Proof:
    """Check a guest's data disk as the guest checks it at its boot (hack/sandbox/guest/root/bin/check)."""
    filesystem = "clean"
    if _needs_recovery(disk):
        filesystem = "replayed"
        _call("e2fsck", "-fy", "-E", "journal_only", str(disk), good=(0, 1))
    _call("e2fsck", "-fn", str(disk))
    content = disk.with_suffix(".content")
    content.mkdir()
    _call("debugfs", "-R", f"rdump / {content}", str(disk))
    with closing(sqlite3.connect(content / "ledger.db")) as ledger:
        integrity = str(ledger.execute("PRAGMA integrity_check").fetchone()[0])
        counter = int(ledger.execute("SELECT coalesce(max(n), 0) FROM tick").fetchone()[0])
        sums = dict(ledger.execute("SELECT name, sha256 FROM file").fetchall())
    bad = sum(_sha256(content / "files" / file) != expected for file, expected in sums.items())
    ok = integrity == "ok" and bad == 0 and bool(sums)
    return Proof(name, filesystem, integrity, len(sums), bad, counter, ok)


def _needs_recovery(disk: Path) -> bool:
    with disk.open("rb") as file:
        file.seek(_INCOMPATIBLE_FEATURES)
        return bool(int.from_bytes(file.read(4), "little") & _NEEDS_RECOVERY)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"


def _call(*command: str, good: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in good, f"{' '.join(command)}: {done.stdout}{done.stderr}"


async def _run(*command: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
