"""The sandbox's object store: a real S3 server that starts, keeps, limits, and ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sandbox.objectstore.server import ObjectStore, running_object_store

START = "import sys; from sandbox.objectstore.cli import command; command(sys.argv[1:])"


def test_a_second_start_finds_data_and_identities(tmp_path: Path) -> None:
    """`make sandbox` can be stopped and started without losing the backups."""
    with running_object_store(tmp_path) as store:
        store.create_bucket("kept")
        store.create_bucket("kept")
        store.client(store.admin).put_object(Bucket="kept", Key="object", Body=b"content")
        admin = store.admin
    with running_object_store(tmp_path) as store:
        assert store.admin == admin
        assert store.client(admin).get_object(Bucket="kept", Key="object")["Body"].read() == b"content"


def test_an_identity_may_do_what_it_was_given_and_no_more(object_store: ObjectStore) -> None:
    """Reading is not writing, one bucket is not another."""
    for bucket in ("one", "other"):
        object_store.create_bucket(bucket)
        object_store.client(object_store.admin).put_object(Bucket=bucket, Key="object", Body=b"x")
    client = object_store.client(object_store.add_identity("reader", ["Read:one", "List:one"]))
    assert client.get_object(Bucket="one", Key="object")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket="one", Key="new", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_object(Bucket="other", Key="object")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_its_program(tmp_path: Path, ending: signal.Signals) -> None:
    """However the program ends, no server stays behind."""
    program = subprocess.Popen(
        [sys.executable, "-c", START, "--state", str(tmp_path), "--bucket", "bucket"], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.readline().startswith("http://127.0.0.1:")
    server = next(pid for pid in map(int, children(program.pid)) if b"weed" in command_line(pid))
    assert "aws_secret_access_key" in (tmp_path / "credentials").read_text()
    program.send_signal(ending)
    program.wait(30)
    deadline = time.monotonic() + 30
    while command_line(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not command_line(server)


def children(pid: int) -> list[str]:
    """Process ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def command_line(pid: int) -> bytes:
    """A process's command line; empty when it is gone."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
