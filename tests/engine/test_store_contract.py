"""One contract for all stores: in memory, SeaweedFS, Ceph, and rclone as a plain store that ignores conditions."""

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.names import PointName
from safehold.engine.points.manifest import Owner
from safehold.engine.repository import Repository, prove_access, wait_for_others
from safehold.engine.restore import fill
from safehold.engine.store.base import ObjectStore
from safehold.engine.store.client import S3Place
from safehold.engine.store.memory import MemoryStore
from safehold.engine.store.s3 import S3Store
from safehold.errors import ObjectMissingError, StoreError
from sandbox.objectstore.radosgw import running_radosgw
from sandbox.objectstore.server import ObjectStore as SandboxStore

PART = 5 * 1024 * 1024
OpenStore = Callable[[str], ObjectStore]


def s3_store(endpoint_url: str, bucket: str, folder: Path, profile: str) -> OpenStore:
    """Stores of one bucket, by prefix."""
    credentials = folder / "credentials"
    credentials.write_text(profile)

    def open_store(prefix: str) -> S3Store:
        return S3Store(S3Place(bucket=bucket, prefix=prefix, endpoint_url=endpoint_url, credentials_file=credentials))

    return open_store


@contextmanager
def rclone(folder: Path) -> Iterator[OpenStore]:
    """`rclone serve s3` over a folder with one bucket."""
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed")
    (folder / "data" / "bucket").mkdir(parents=True)
    log = (folder / "log").open("w")
    key, secret = "ACCESSKEY", secrets.token_hex(12)
    process = subprocess.Popen(
        [program, "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{key},{secret}", str(folder / "data")],
        stderr=log,
        env=os.environ | {"RCLONE_CONFIG": str(folder / "none.conf")},
    )
    try:
        endpoint = _announced(folder / "log", process)
        profile = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        yield s3_store(endpoint, "bucket", folder, profile)
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _announced(log: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for word in log.read_text().replace("[", " ").replace("]", " ").split():
            if word.startswith("http://127.0.0.1:"):
                return word.rstrip("/")
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(
    scope="module", params=["memory", "seaweedfs", "rclone", pytest.param("radosgw", marks=pytest.mark.soak)]
)
def open_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStore]:
    """Opens stores of different prefixes in one place."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "memory":
        stores: dict[str, MemoryStore] = {}
        yield lambda prefix: stores.setdefault(prefix, MemoryStore(datetime.now(UTC)))
    elif request.param == "rclone":
        with rclone(folder) as opened:
            yield opened
    elif request.param == "radosgw":
        with running_radosgw(folder) as ceph:
            ceph.create_bucket("contract")
            yield s3_store(ceph.endpoint_url, "contract", folder, ceph.admin.profile())
    else:
        sandbox: SandboxStore = request.getfixturevalue("object_store")
        sandbox.create_bucket("contract")
        yield s3_store(sandbox.endpoint_url, "contract", folder, sandbox.admin.profile())


@pytest.fixture
def store(open_store: OpenStore) -> ObjectStore:
    """A store of its own."""
    return open_store(f"a prefix/{secrets.token_hex(4)}/")


def test_what_was_put_is_returned_and_listed_at_once(store: ObjectStore) -> None:
    """Empty and large objects, bytes and bytearrays."""
    bodies = {"a/empty": b"", "a/small": b"x", "b/large": secrets.token_bytes(300_000)}
    for name, body in bodies.items():
        store.put(name, bytearray(body))
        assert store.get(name) == body
    assert {entry.name: entry.size_bytes for entry in store.list("")} == {n: len(b) for n, b in bodies.items()}


def test_ranges_end_where_the_object_ends(store: ObjectStore) -> None:
    """A range inside is exact, one that reaches over the end is short."""
    body = secrets.token_bytes(1000)
    store.put("object", body)
    assert store.get_range("object", 0, 1000) == body
    assert store.get_range("object", 10, 20) == body[10:30]
    assert store.get_range("object", 990, 100) == body[990:]


def test_a_range_comes_in_pieces(store: ObjectStore) -> None:
    """In the sizes that were asked for, the last one short at the object's end; a consumer may stop early."""
    body = secrets.token_bytes(3_000_000)
    store.put("object", body)
    pieces = list(store.stream_range("object", 10, [1, 1_500_000, 2, 2_000_000, 5]))
    assert [len(piece) for piece in pieces] == [1, 1_500_000, 2, 3_000_000 - 10 - 1_500_003]
    assert b"".join(pieces) == body[10:]
    stream = store.stream_range("object", 0, [10, 2_999_990])
    assert next(stream) == body[:10]
    del stream
    assert list(store.stream_range("object", 3_000_000, [10])) == []
    with pytest.raises(ObjectMissingError):
        list(store.stream_range("absent", 0, [10]))


@pytest.mark.parametrize("size_bytes", [0, 10])
def test_a_range_behind_the_end_is_empty(store: ObjectStore, size_bytes: int) -> None:
    """A cut object is found by its length, not by how a store says that it has no such bytes."""
    store.put("object", bytes(size_bytes))
    assert store.get_range("object", size_bytes, 5) == b""


def test_a_missing_object_is_told_as_missing(store: ObjectStore) -> None:
    """Absence is its own error, so that it can be told from damage and from a refusal."""
    with pytest.raises(ObjectMissingError):
        store.get("missing")
    with pytest.raises(ObjectMissingError):
        store.get_range("missing", 0, 10)


def test_deleting_twice_is_no_error(store: ObjectStore) -> None:
    """Everything may run twice."""
    store.put("object", b"x")
    store.delete("object")
    store.delete("object")
    assert list(store.list("")) == []
    with pytest.raises(ObjectMissingError):
        store.get("object")


def test_listings_are_in_order_and_limited(store: ObjectStore) -> None:
    """The newest point of an owner is the first name of a listing: order matters."""
    names = [f"points/{n:04d}-{secrets.token_hex(2)}" for n in range(40)]
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda name: store.put(name, b"x"), reversed(names)))
    store.put("pointsbeside", b"x")
    assert [entry.name for entry in store.list("points/")] == names
    assert [entry.name for entry in store.list("points/", limit=3)] == names[:3]
    assert [entry.name for entry in store.list("points/000", limit=100)] == names[:10]
    assert list(store.list("nothing/")) == []


def test_parts_become_an_object_only_when_they_are_complete(store: ObjectStore) -> None:
    """Parts that several threads send in any order are joined in the order of their numbers."""
    parts = {number: secrets.token_bytes(PART) for number in (1, 2, 3)}
    parts[4] = b"the rest"
    upload = store.start_upload("pack")
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda number: upload.put_part(number, parts[number]), reversed(parts)))
    assert list(store.list("")) == []
    upload.complete()
    assert store.get("pack") == b"".join(parts.values())
    assert store.get_range("pack", 3 * PART - 4, 8) == parts[3][-4:] + b"the "


def test_an_aborted_upload_leaves_nothing(store: ObjectStore) -> None:
    """Neither after parts were sent nor before, nor a second time."""
    begun = store.start_upload("begun")
    begun.put_part(1, b"x" * 100)
    begun.abort()
    begun.abort()
    store.start_upload("not begun").abort()
    assert list(store.list("")) == []


def test_unfinished_uploads_of_others_are_found_and_ended(store: ObjectStore) -> None:
    """What a killed process left can be listed by name and age, and ended once or twice."""
    done, left = store.start_upload("packs/done"), store.start_upload("packs/left")
    done.put_part(1, b"x")
    left.put_part(1, b"y" * 100)
    done.complete()
    found = list(store.unfinished_uploads("packs/"))
    assert [upload.name for upload in found] == ["packs/left"]
    assert abs(found[0].started - datetime.now(UTC)) < timedelta(seconds=60)
    assert list(store.unfinished_uploads("points/")) == []
    store.abort_upload(found[0])
    store.abort_upload(found[0])
    assert list(store.unfinished_uploads("packs/")) == []
    with pytest.raises(StoreError):
        left.complete()


def test_a_listing_tells_when_an_object_was_written(store: ObjectStore) -> None:
    """By the store's clock, with its time zone."""
    store.put("object", b"x")
    assert all(abs(entry.modified - store.time()) < timedelta(seconds=60) for entry in store.list(""))


def test_the_stores_clock_is_read(store: ObjectStore) -> None:
    """With a time zone, and near ours on one machine."""
    store.put("object", b"x")
    assert abs(store.time() - datetime.now(UTC)) < timedelta(seconds=60)


def test_what_was_sent_is_counted(store: ObjectStore) -> None:
    """Bodies of objects and parts; reading sends nothing."""
    store.put("object", b"x" * 1000)
    upload = store.start_upload("parts")
    upload.put_part(1, b"y" * 500)
    upload.complete()
    store.get("object")
    assert store.bytes_sent() == 1500


def test_what_is_received_is_counted(store: ObjectStore) -> None:
    """Whole objects, ranges and streams: what a restore has moved is told from it."""
    store.put("object", secrets.token_bytes(1000))
    before = store.bytes_received()
    store.get("object")
    store.get_range("object", 10, 20)
    list(store.stream_range("object", 900, [50, 500]))
    assert store.bytes_received() - before == 1000 + 20 + 100


def test_stores_of_two_prefixes_do_not_see_each_other(open_store: OpenStore) -> None:
    """Several repositories share a bucket."""
    one, other = (open_store(f"{secrets.token_hex(4)}/") for _ in range(2))
    one.put("object", b"x")
    assert list(other.list("")) == []
    with pytest.raises(ObjectMissingError):
        other.get("object")


def test_a_repository_lives_in_every_store(store: ObjectStore) -> None:
    """Laying out, opening, and proving access need nothing that a plain store lacks."""
    key = RepositoryKey.generate()
    made = Repository.open(store, key, create=True, settle=lambda: None)
    assert Repository.open(store, key, create=True, settle=lambda: None).id == made.id
    prove_access(store, writable=True)
    assert not list(store.list("probes/"))
    assert store.get("README.v1.md").startswith(b"# A Safehold repository, format 1")


def test_writers_that_begin_at_once_need_no_conditions(store: ObjectStore, tmp_path: Path) -> None:
    """Several first runs lay out one repository, and whoever's keys are elected, all points are whole."""
    key = RepositoryKey.generate()
    contents = {f"vm-{number}": secrets.token_bytes(100_000) + bytes(50_000) for number in range(4)}

    def run(vm: str) -> str:
        disk = tmp_path / vm
        disk.write_bytes(contents[vm])
        owner = Owner(cluster="", namespace_uid="", vm_uid=vm, namespace="", vm=vm)
        request = BackupRequest(run_id=vm, owner=owner, volumes=[VolumeInput(name="root", path=disk)])
        domain = Repository.open(store, key, create=True, settle=wait_for_others).domain("target", create=True)
        return back_up(domain, request, stop=threading.Event()).point

    with ThreadPoolExecutor(len(contents)) as writers:
        points = dict(zip(contents, writers.map(run, contents), strict=True))
    domain = Repository.open(store, key, create=False).domain("target", create=False)
    for vm, point in points.items():
        manifest = domain.points.read(PointName.of_id(point))
        fill(domain, manifest, "root", tmp_path / "restored", stop=threading.Event(), progress=lambda _: None)
        assert (tmp_path / "restored").read_bytes() == contents[vm]
