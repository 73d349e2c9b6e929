"""The command line with a list of what changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

CHUNK = 131_072
POINT = ("--restore-point", "latest", "--vm", "db", "--output", "json")


def back_up_listed(shell: Shell, *lines: str, verify: bool = False, code: int = 0) -> dict[str, object]:
    """A backup of the shell's disk with these lines as the list."""
    (shell.folder / "changes").write_text("".join(lines))
    arguments = ["disk", "--vm", "db", "--volume", "root", "--changed-extents", "changes", "--output", "json"]
    arguments += ["--verify"] if verify else []
    done = shell.volume("backup", *arguments, code=code)
    result = json.loads(done.stdout) if done.stdout else {"said": done.stderr}
    assert isinstance(result, dict)
    return result


def write(shell: Shell, content: bytes, offset: int) -> str:
    """Write into the disk; returns the line that tells it."""
    with (shell.folder / "disk").open("r+b") as disk:
        disk.seek(offset)
        disk.write(content)
    return json.dumps({"offset": offset, "length": len(content)}) + "\n"


def restored(shell: Shell) -> bytes:
    """The disk of the VM's last point."""
    shell.volume("restore", "new", *POINT)
    content = (shell.folder / "new").read_bytes()
    (shell.folder / "new").unlink()
    return content


def test_a_listed_backup_reads_what_is_listed(shell: Shell) -> None:
    """One chunk is read, the point is the whole disk, and the next list starts from it."""
    first = shell.backup("disk")
    for number in range(2):
        told = back_up_listed(shell, write(shell, b"changed", 500_000 + number * CHUNK))
        assert (told["engine"], told["bytesRead"], told["bytesChanged"]) == ("Listed", CHUNK, CHUNK)
        assert told["parent"] == first["restorePoint"]
        assert restored(shell) == (shell.folder / "disk").read_bytes()
        first = told


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("what?\n", 'Line 2 of the list of changed extents cannot be used: expected {"offset": BYTES'),
        ('{"offset": 1}\n', "Line 2"),
        ('{"offset": "1", "length": 1}\n', "Line 2"),
        ('{"offset": 1, "length": 1, "more": 1}\n', "Line 2"),
        ('{"offset": 600000, "leng', "is cut in line 2"),
        ('{"offset": 0, "length": 5}\n', "out of order"),
        ('{"offset": 5999999, "length": 2}\n', "past the disk's end"),
    ],
)
def test_a_list_that_cannot_be_used_leads_to_a_scan(shell: Shell, bad: str, said: str) -> None:
    """The reason is told, and the point is right all the same."""
    shell.backup("disk")
    told = back_up_listed(shell, write(shell, b"changed", 500_000), bad)
    assert told["engine"] == "Scan"
    assert said in str(told["engineReason"])
    assert told["bytesChanged"] == CHUNK
    assert restored(shell) == (shell.folder / "disk").read_bytes()


def test_changes_need_a_point_that_they_are_since(shell: Shell) -> None:
    """A first backup is refused, and so is a list that is not there."""
    assert "no earlier point of db with the disk root" in str(back_up_listed(shell, code=2)["said"])
    missing = shell.volume("backup", "disk", "--vm", "db", "--volume", "root", "--changed-extents", "missing", code=2)
    assert "missing" in missing.stderr


def test_a_resized_disk_is_read_whole(shell: Shell) -> None:
    """A list cannot tell what a larger disk has at its end."""
    shell.backup("disk")
    with (shell.folder / "disk").open("ab") as disk:
        disk.write(b"more")
    told = back_up_listed(shell)
    assert (told["engine"], told["bytesRead"]) == ("Scan", (shell.folder / "disk").stat().st_size)
    assert "the disk had 6000000 bytes and has 6000004" in str(told["engineReason"])
    assert restored(shell) == (shell.folder / "disk").read_bytes()


def test_a_list_is_proved_where_asked(shell: Shell) -> None:
    """--verify tells what the list forgot, and the point has it; without a list there is nothing to prove."""
    shell.backup("disk")
    line = write(shell, b"changed", 500_000)
    write(shell, b"forgotten", 900_000)
    told = back_up_listed(shell, line, verify=True)
    assert (told["engine"], told["verified"], told["mismatchedBytes"]) == ("Listed", True, CHUNK)
    assert restored(shell) == (shell.folder / "disk").read_bytes()
    alone = shell.volume("backup", "disk", "--vm", "db", "--volume", "root", "--verify", code=2)
    assert "add --changed-extents" in alone.stderr


def test_a_delta_restore_looks_at_what_is_listed(shell: Shell) -> None:
    """Only listed ranges are put right; a forgotten one stays wrong, and --verify finds it."""
    shell.backup("disk")
    before = (shell.folder / "disk").read_bytes()
    (shell.folder / "changes").write_text(write(shell, b"changed", 500_000))
    arguments = ("disk", *POINT, "--delta", "--changed-extents", "changes")
    assert json.loads(shell.volume("restore", *arguments).stdout)["bytesWritten"] == CHUNK
    assert (shell.folder / "disk").read_bytes() == before
    write(shell, b"forgotten", 900_000)
    assert json.loads(shell.volume("restore", *arguments).stdout)["bytesWritten"] == 0
    assert "does not hold what the restore point" in shell.volume("restore", *arguments, "--verify", code=1).stderr


def test_a_delta_restore_refuses_a_list_that_cannot_be_used(shell: Shell) -> None:
    """Nothing is written, and nothing renamed; and a full restore takes no list."""
    shell.backup("disk")
    (shell.folder / "changes").write_text('{"offset": 0, "length": 0}\n')
    arguments = ("restore", "disk", *POINT, "--changed-extents", "changes")
    assert "empty range" in shell.volume(*arguments, "--delta", code=1).stderr
    assert "add --delta" in shell.volume(*arguments, code=2).stderr
    assert (shell.folder / "disk").exists()
