"""The command line: exit codes, one clear sentence, JSON for scripts, and no secret anywhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from safehold import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_disk_goes_out_and_comes_back(shell: Shell) -> None:
    """The keys that scripts rely on are there, and the restored disk is the same."""
    first = shell.backup("disk")
    keys = {
        "restorePoint",
        "engine",
        "bytesTotal",
        "bytesRead",
        "bytesChanged",
        "bytesUploaded",
        "bytesStored",
        "seconds",
    }
    assert keys <= first.keys()
    assert (first["engine"], first["bytesTotal"]) == ("Scan", 6_000_000)
    second = shell.backup("disk")
    assert (second["parent"], second["bytesChanged"]) == (first["restorePoint"], 0)
    for point in ("latest", str(first["restorePoint"])):
        done = shell.volume("restore", "new", "--restore-point", point, "--vm", "db", "--output", "json")
        assert json.loads(done.stdout)["restorePoint"] in (first["restorePoint"], second["restorePoint"])
        assert (shell.folder / "new").read_bytes() == (shell.folder / "disk").read_bytes()
        (shell.folder / "new").unlink()


def test_a_disk_is_completed_by_what_differs(shell: Shell) -> None:
    """`diff` tells where, `restore --delta` writes that and nothing else, `--verify` reads it back."""
    shell.backup("disk")
    disk = shell.folder / "disk"
    content = disk.read_bytes()
    disk.write_bytes(content[:500_000] + b"changed" + content[500_007:])
    point = ("--restore-point", "latest", "--vm", "db", "--output", "json")
    told = json.loads(shell.volume("diff", "disk", *point).stdout)
    assert (told["identical"], told["extents"]) == (False, [[3 * 131_072, 131_072]])
    done = json.loads(shell.volume("restore", "disk", *point, "--delta", "--verify", "--limit-download=50").stdout)
    assert (done["bytesWritten"], done["verified"]) == (131_072, True)
    assert 1 << 20 < done["bytesFetched"] < 1.1 * (1 << 20)  # the frame that holds the chunk, and the way to it
    assert disk.read_bytes() == content
    assert json.loads(shell.volume("diff", "disk", *point).stdout)["identical"]
    assert "is what is in the restore point" in shell.volume("diff", "disk", *point[:-2]).stdout


def test_text_is_for_people(shell: Shell) -> None:
    """Without --output json a few aligned lines say the same."""
    done = shell.volume("backup", "disk", "--vm", "db", "--volume", "root")
    assert "Backed up root of db" in done.stdout
    assert "bytesTotal     6,000,000" in done.stdout


def test_an_existing_disk_is_untouched_by_a_failed_restore(shell: Shell) -> None:
    """The old disk stands until the new one is whole."""
    shell.backup("disk")
    before = (shell.folder / "disk").read_bytes()
    failed = shell.volume("restore", "disk", "--restore-point", "latest", "--vm", "db", "--volume", "data", code=1)
    assert "has no volume data: expected root" in failed.stderr
    assert (shell.folder / "disk").read_bytes() == before
    assert not list(shell.folder.glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["restore", "new", "--restore-point", "latest", "--vm", "web"], 1, "no restore point of the VM web"),
        (["restore", "new", "--restore-point", "latest"], 2, "give --vm"),
        (["restore", "new", "--restore-point", "x"], 1, "is not the id of a restore point"),
        (["restore", "new", "--restore-point", "00" * 8 + "-000001-" + "00" * 8], 1, "does not exist"),
        (["backup", "missing", "--vm", "db", "--volume", "root"], 1, "missing cannot be opened"),
        (["backup", "disk", "--volume", "root"], 2, "--vm"),
        (["backup", "disk", "--vm", "db", "--volume", "root", "--key-domain", "x/../y"], 2, "key domain is malformed"),
        (["backup", "disk", "--vm", "db", "--volume", "root", "--key-file", "missing"], 1, "safehold key new"),
        (["backup", "disk", "--vm", "db", "--volume", "root", "--key-file", "disk"], 1, "key is malformed"),
    ],
)
def test_mistakes_get_a_clear_answer(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    """1 for a failure, 2 for wrong usage, and a sentence that says what to do."""
    shell.backup("disk")
    assert said in shell.volume(*arguments, code=code).stderr
    assert not list(shell.folder.glob("new*"))


@pytest.mark.parametrize(
    ("repository", "endpoint", "code", "said"),
    [
        ("cli/prefix", None, 2, "expected s3://BUCKET"),
        ("s3://no-such-bucket/x", None, 1, "The bucket no-such-bucket does not exist"),
        ("s3://cli/x", "ftp://host", 2, "--endpoint-url is malformed"),
        ("s3://cli/x", "http://127.0.0.1:1", 1, "does not answer"),
    ],
)
def test_wrong_places_get_a_clear_answer(
    shell: Shell, repository: str, endpoint: str | None, code: int, said: str
) -> None:
    """A typing error in bucket or endpoint is told as such."""
    place = ["--repository", repository, "--endpoint-url", endpoint or shell.store.endpoint_url]
    done = shell("volume", "backup", "disk", "--vm", "db", "--volume", "root", *place, code=code)
    assert said in done.stderr


def test_another_key_is_told(shell: Shell) -> None:
    """A repository is not mixed with another key's, and the key files can be told apart by their recipients."""
    shell.backup("disk")
    shell("key", "new", "--output-file", "other")
    done = shell.volume("backup", "disk", "--vm", "db", "--volume", "root", "--key-file", "other", code=1)
    assert "made with another key" in done.stderr


def test_wrong_credentials_are_told(shell: Shell) -> None:
    """Found the AWS way, refused by the store."""
    shell.variables["AWS_SECRET_ACCESS_KEY"] = "wrong"
    done = shell.volume("backup", "disk", "--vm", "db", "--volume", "root", code=1)
    assert "SignatureDoesNotMatch" in done.stderr
    assert "wrong" not in done.stderr


def test_a_key_is_made_once(shell: Shell) -> None:
    """A key goes to a private file that is never overwritten, or to stdout."""
    before = (shell.folder / "key").read_bytes()
    assert (shell.folder / "key").stat().st_mode & 0o777 == 0o600
    assert "exists already" in shell("key", "new", "--output-file", "key", code=2).stderr
    assert (shell.folder / "key").read_bytes() == before
    assert shell("key", "new").stdout.startswith("safehold-key-1:")


def test_a_traceback_is_shown_only_when_asked_for(shell: Shell) -> None:
    """--debug is for those who want to know where it came from."""
    shell.variables["SAFEHOLD_KEY_FILE"] = "missing"
    arguments = ["volume", "backup", "disk", "--repository", "s3://cli/x", "--vm", "db", "--volume", "root"]
    assert "Traceback" not in shell(*arguments, code=1).stderr
    assert "Traceback" in shell("--debug", *arguments, code=1).stderr


def test_the_version_is_told(shell: Shell) -> None:
    """As scripts expect it."""
    assert shell("--version").stdout == f"safehold, version {__version__}\n"


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [("worker", {"kopf", "kubernetes", "rich"}), ("volume", {"kopf", "kubernetes", "rich", "pydantic_settings"})],
)
def test_a_command_loads_what_it_needs(command: str, unneeded: set[str]) -> None:
    """A Job starts quickly, and without Kopf or a Kubernetes client in its memory."""
    code = f"import sys; from safehold.cli import {command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unneeded & set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("with progress_bar('Backing up') as tell: tell(1, 2)", b"Backing up"),
        ("with step_progress() as tell: tell('Checking packs', 1, 2)", b"1/2"),
    ],
)
def test_progress_is_for_terminals(code: str, said: bytes) -> None:
    """A bar is drawn where somebody looks, and nothing is written into a log."""
    command = [sys.executable, "-c", f"from safehold.cli.progress import progress_bar, step_progress\n{code}"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(command, stderr=theirs, check=True, env={"TERM": "xterm", "COLUMNS": "80"})
        assert said in os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
