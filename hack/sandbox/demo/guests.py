"""What is true inside a guest: the counter of each disk, and the proof of its file system, database and files."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.demo.errors import StoryError


@dataclass(frozen=True, slots=True)
class Proof:
    """One disk as the guest found it at boot, before anything wrote to it."""

    disk: str
    filesystem: str
    integrity: str
    files: int
    bad_files: int
    counter: int
    ok: bool

    def __str__(self) -> str:
        return (
            f"{self.disk}: file system {self.filesystem}, database {self.integrity or 'unreadable'}, "
            f"{self.files} files, {self.bad_files} of them wrong, counter {self.counter}"
        )


def proofs(reports: Iterable[dict[str, Any]]) -> list[Proof]:
    """The guest's reports as values."""
    return [
        Proof(
            disk=report["disk"],
            filesystem=report["filesystem"],
            integrity=report["integrity"],
            files=int(report["files"]),
            bad_files=int(report["badFiles"]),
            counter=int(report["counter"]),
            ok=bool(report["ok"]),
        )
        for report in reports
    ]


def frozen_counters(freezes: Path, namespace: str, vm: str, captured: str) -> dict[str, int]:
    """The counters that a VM's disks had acknowledged in the freeze that contains the moment `captured` (RFC 3339).

    Every freeze is a line that the sandbox's KubeVirt wrote; the guest itself did not know of it.
    """
    for line in reversed(freezes.read_text().splitlines()):
        freeze = json.loads(line)
        if (freeze["namespace"], freeze["vm"]) == (namespace, vm) and freeze["frozen"][:19] <= captured[:19]:
            return {str(disk): int(counter) for disk, counter in freeze["counters"].items()}
    raise StoryError(f"no freeze of {namespace}/{vm} is recorded before {captured}")


def assert_restored(found: list[Proof], expected: dict[str, int], what: str) -> None:
    """Every disk is whole and stands where it stood at the freeze; a StoryError names the first that does not."""
    if {proof.disk for proof in found} != set(expected):
        raise StoryError(f"{what}: expected the disks {sorted(expected)}, found {[proof.disk for proof in found]}")
    for proof in found:
        if not proof.ok or proof.filesystem not in ("clean", "replayed"):
            raise StoryError(f"{what}: {proof}")
        # One more than was acknowledged: the commit was on the disk, and its acknowledgement waited for the thaw.
        if proof.counter - expected[proof.disk] not in (0, 1):
            raise StoryError(
                f"{what}: the counter of {proof.disk} stands at {proof.counter}, "
                f"at the freeze it stood at {expected[proof.disk]}"
            )
