"""`safehold files` as people call it: against a repository in S3, and against a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.files.conftest import Backup, backed_up
from tests.files.disks import YEAR_2001
from tests.interrupts import heed_interrupts

from safehold.engine.geometry import MIB
from sandbox.objectstore.server import ObjectStore

pytestmark = pytest.mark.timeout(900)
"""Without KVM, an appliance boots in 15 s, and in minutes where others use the processors."""


@pytest.fixture(scope="module")
def backup(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A point with the ext4 disk alone, which takes no appliance to make."""
    return backed_up(object_store, tmp_path_factory.mktemp("commands"), ["data"])


def safehold(
    backup: Backup, folder: Path, verb: str, *arguments: str, code: int = 0, path: str | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run `safehold files VERB` against the repository, and check its exit code and that a failure is one sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "safehold", "files", verb, *arguments, *backup.place],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"] if path is None else path,
            "HOME": str(folder),
            "AWS_SHARED_CREDENTIALS_FILE": str(backup.folder / "credentials"),
        },
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr.startswith(b"Error: ")
        assert done.stderr.count(b"\n") == 1
    return done


def test_a_small_file_of_a_large_disk_takes_few_bytes(backup: Backup, tmp_path: Path) -> None:
    """Out of 10 GiB, one file comes with a few MiB, with its mode and its time."""
    point = f"{backup.manifest.point}:data"
    done = safehold(backup, tmp_path, "get", point, "/tree/hello.txt", "--partition", "disk", "--output", "json")
    result = json.loads(done.stdout)
    assert (tmp_path / "hello.txt").read_text() == "hello\n"
    assert int((tmp_path / "hello.txt").stat().st_mtime) == YEAR_2001
    assert result["files"] == [{"path": "/tree/hello.txt", "to": "hello.txt", "sizeBytes": 6}]
    assert result["bytesFetched"] < 4 * MIB


def test_what_is_printed_does_nothing_to_a_terminal(backup: Backup, tmp_path: Path) -> None:
    """Names with line feeds and escape sequences are one line each, without a control character."""
    done = safehold(backup, tmp_path, "ls", "latest:data", "/tree", "--vm", "vm")
    lines = done.stdout.splitlines()
    assert not [byte for byte in done.stdout if byte < 0x20 and byte != 0x0A]
    assert sorted(line.split(b"Z ")[1] for line in lines) == sorted(
        [
            rb"/tree/\x1b[31mred",
            rb"/tree/caf\xe9",
            rb"/tree/quote'\"\\".replace(rb"\"", b'"'),
            rb"/tree/two\nlines",
            b"/tree/-dash",
            b"/tree/hello.txt",
            b"/tree/inside -> sub/large.bin",
            b"/tree/out -> /etc/passwd",
            b"/tree/pipe",
            b"/tree/run",
            b"/tree/sub",
            b"/tree/up -> ../../../etc/passwd",
            b"/tree/with space",
        ]
    )
    assert lines[-1].startswith(b"-rw-r--r-- ")


def test_a_folder_goes_to_stdout_as_an_archive(backup: Backup, tmp_path: Path) -> None:
    """What `tar` makes of it is the folder; nothing else is on stdout."""
    done = safehold(backup, tmp_path, "get", "latest:data", "/tree/sub", "--vm", "vm", "--tar", "--to", "-")
    subprocess.run(["tar", "-x"], input=done.stdout, cwd=tmp_path, check=True)
    for name in ("large.bin", "same"):
        assert (tmp_path / name).read_bytes() == (backup.folder / "tree/tree/sub" / name).read_bytes()


def test_ctrl_c_leaves_nothing(backup: Backup, tmp_path: Path) -> None:
    """In the middle of a file: no process stays, no half file, no socket; the exit code is what a shell expects."""
    own = tmp_path / "t"
    own.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "safehold", "files", "get", f"{backup.manifest.point}:data", "/endless", *backup.place],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": str(own),
            "AWS_SHARED_CREDENTIALS_FILE": str(backup.folder / "credentials"),
            "PYTHONFAULTHANDLER": "1",
        },
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - the new process has no other threads
    )
    try:
        wait_for(lambda: bool(list(tmp_path.glob(".safehold-*.partial"))) or process.poll() is not None)
        assert processes_of(own)
        os.killpg(process.pid, signal.SIGINT)
        said = said_at_its_end(process)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said.strip()) == (130, b"Interrupted.")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert not list(own.iterdir())
    wait_for(lambda: not processes_of(own))


def said_at_its_end(process: "subprocess.Popen[bytes]") -> bytes:
    """What it says on stderr until it ends; if it does not, that includes where each of its threads is."""
    try:
        return process.communicate(timeout=300)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        return process.communicate()[1]


def wait_for(reached: Callable[[], bool], seconds: float = 300) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_of(folder: Path) -> list[str]:
    """The processes whose arguments name the folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            if os.fsencode(folder) in place.read_bytes():
                found.append(place.parent.name)
    return found


def test_the_volumes_are_listed_without_looking_into_them(backup: Backup, tmp_path: Path) -> None:
    """Nothing of the system is needed for that."""
    done = safehold(backup, tmp_path, "ls", "latest", "--vm", "vm", "--output", "json", path="/nowhere")
    assert [each["volume"] for each in json.loads(done.stdout)] == ["data"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("ls", "latest:data"), 1, b"nbdkit and guestfish, which this machine lacks; install nbdkit, "),
        (("ls", "latest:other"), 1, b"has no volume other"),
        (("ls", "latest", "--recursive"), 2, b"go with a PATH"),
        (("ls", "latest:data", "--volume", "parts", "/"), 2, b"Two volumes are named"),
        (("get", "latest", "/a", "/b", "--to", "-"), 2, b"Only one PATH"),
        (("get", "latest", "/a", "--to", "absent/a"), 1, b"Nothing can be written to absent: found no such folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    backup: Backup, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: bytes
) -> None:
    """Also that the machine lacks the programs, with the packages that bring them."""
    verb, *rest = arguments
    done = safehold(backup, tmp_path, verb, *rest, "--vm", "vm", code=code, path="/nowhere")
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())
