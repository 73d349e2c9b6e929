"""Ceph's gateway as the sandbox's second store: it starts, refuses what a strict store refuses, and ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sandbox.objectstore.radosgw import running_radosgw
from sandbox.objectstore.service import S3Service

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    """One gateway for all tests; they use buckets of their own."""
    with running_radosgw(tmp_path_factory.mktemp("ceph")) as store:
        yield store


def test_conditions_are_honoured(ceph: S3Service) -> None:
    """A PUT that must not overwrite is refused with 412, and the object stays."""
    ceph.create_bucket("conditions")
    client = ceph.client(ceph.admin)
    client.put_object(Bucket="conditions", Key="a", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="conditions", Key="a", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket="conditions", Key="a")["Body"].read() == b"first"


def test_locks_are_honoured(ceph: S3Service) -> None:
    """A version under COMPLIANCE retention can neither be deleted nor its retention be shortened."""
    client = ceph.client(ceph.admin)
    client.create_bucket(Bucket="locks", ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    put = client.put_object(
        Bucket="locks", Key="a", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket="locks", Key="a", VersionId=put["VersionId"])
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object_retention(
            Bucket="locks",
            Key="a",
            VersionId=put["VersionId"],
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(hours=12)},
        )


def test_the_command_serves_and_ends(tmp_path: Path) -> None:
    """`python -m sandbox objectstore --radosgw` prints endpoint and credentials, and leaves no process at SIGTERM."""
    program = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "objectstore", "--radosgw", "--state", str(tmp_path), "--bucket", "backups"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.readline().startswith("http://127.0.0.1:")
    assert "aws_secret_access_key" in (tmp_path / "credentials").read_text()
    program.send_signal(signal.SIGTERM)
    assert program.wait(90) == 0
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in text_of(path)]


def text_of(path: Path) -> bytes:
    """The content of a file that may be gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
