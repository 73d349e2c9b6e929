"""The rescue program: an independent reader that needs bucket and key only, run as people run it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.engine import names
from safehold.engine.keys.keyfile import RepositoryKey, write_key_file
from safehold.engine.keys.rings import wrap
from safehold.engine.plaintext.objects import plain_texts
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

    from safehold.engine.points.manifest import Manifest
    from sandbox.objectstore.server import ObjectStore as SandboxStore

CHUNK = 512
Noise = Callable[[int], bytes]


@dataclass
class Emergency:
    """What is left: a copy of the bucket in a directory, the key file, and the program that lay in the bucket."""

    folder: Path
    objects: Path
    key_file: Path

    @classmethod
    def of(cls, laboratory: Laboratory, folder: Path, key: RepositoryKey | None = None) -> Emergency:
        """Everything else is lost."""
        left = cls(folder, folder / "bucket", folder / "key")
        for name, data in laboratory.store.objects.items():
            path = left.objects / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        write_key_file(left.key_file, key or laboratory.key)
        return left

    def run(self, *words: str, place: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """The program, by the interpreter in isolated mode, with this environment only."""
        program = self.folder / "rescue.v1.py"
        program.write_bytes(plain_texts()[names.RESCUE])
        where = ["--repository", place or str(self.objects), "--key-file", str(self.key_file)]
        return subprocess.run(
            [sys.executable, "-I", program, *where, *words],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def restored(self, manifest: Manifest, volume: str = "root") -> bytes:
        """The content of a disk of the point."""
        disk = self.folder / "rescued"
        disk.unlink(missing_ok=True)
        done = self.run("restore", manifest.point, str(disk), "--volume", volume)
        assert done.returncode == 0, done.stderr
        return disk.read_bytes()

    def refusal(self, *words: str) -> str:
        """What it says when it fails, in one sentence and without a traceback."""
        failed = self.run(*words)
        assert failed.returncode == 1, failed.stderr
        assert failed.stderr.startswith("Error: ")
        assert failed.stderr.count("\n") == 1
        return failed.stderr


def test_every_point_is_rebuilt_from_a_copy_of_the_bucket(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """Bit-identical: noise, text, zeros, an odd tail, several disks, whatever was backed up after it."""
    first = {"root": noise(70_001) + bytes(90_000) + b"text" * 9_000, "data": bytes(5_000)}
    second = {"root": noise(90_000) + first["root"][90_000:], "data": noise(5_000)}
    points = [
        (laboratory.back_up(*(laboratory.disk(content, name) for name, content in disks.items())), disks)
        for disks in (first, second)
    ]
    emergency = Emergency.of(laboratory, tmp_path)
    for manifest, disks in points:
        for name, content in disks.items():
            assert emergency.restored(manifest, name) == content


def test_holes_stay_holes(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """A thin disk does not become a thick one on the way back."""
    disk = laboratory.folder / "root"
    with disk.open("wb") as file:
        file.write(noise(4096))
        file.truncate(1 << 24)
    manifest = laboratory.back_up(disk)
    emergency = Emergency.of(laboratory, tmp_path)
    emergency.restored(manifest)
    assert (tmp_path / "rescued").stat().st_size == 1 << 24
    assert (tmp_path / "rescued").stat().st_blocks * 512 < 1 << 20


def test_a_device_holds_the_disk_and_nothing_old(
    laboratory: Laboratory, noise: Noise, tmp_path: Path, loop_device: Path
) -> None:
    """Where the point has zeros, and behind the disk's end, old data of the device is gone."""
    content = noise(5_000) + bytes(20_000) + noise(5_000)
    manifest = laboratory.back_up(laboratory.disk(content))
    done = Emergency.of(laboratory, tmp_path).run("restore", manifest.point, str(loop_device))
    assert done.returncode == 0, done.stderr
    assert loop_device.read_bytes() == content + bytes((1 << 20) - len(content))


def test_a_device_that_is_too_small_is_not_touched(
    laboratory: Laboratory, noise: Noise, tmp_path: Path, loop_device: Path
) -> None:
    """Its old content is still there."""
    disk = laboratory.disk(noise(1000))
    with disk.open("ab") as file:
        file.truncate(2 << 20)
    manifest = laboratory.back_up(disk)
    said = Emergency.of(laboratory, tmp_path).refusal("restore", manifest.point, str(loop_device))
    assert "is too small: it has 1048576 bytes, expected 2097152" in said
    assert loop_device.read_bytes() == b"o" * (1 << 20)


def test_points_and_machines_are_shown(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """The newest point of a VM first, with what people know it by; the VM's objects as JSON."""
    made = [laboratory.back_up(laboratory.disk(noise(3000)), vm="shop-db") for _ in range(2)]
    emergency = Emergency.of(laboratory, tmp_path)
    lines = emergency.run("points").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [made[1].point, made[0].point]
    assert all("shop/shop-db" in line and "root (3000 bytes)" in line for line in lines)
    machine = json.loads(emergency.run("machine", made[0].point).stdout)
    assert machine[0]["metadata"] == {"name": "shop-db"}


def test_a_damaged_point_does_not_hide_the_others(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """The list goes on, and says at its end what it could not read."""
    made = [laboratory.back_up(laboratory.disk(noise(3000))) for _ in range(3)]
    emergency = Emergency.of(laboratory, tmp_path)
    name = names.PointName.of_id(made[1].point).manifest("target")
    path = emergency.objects / name
    path.write_bytes(path.read_bytes()[:-1])
    listed = emergency.run("points")
    assert listed.returncode == 1
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [made[2].point, made[0].point]
    assert f"{name} is truncated" in listed.stderr


def test_every_recipient_rebuilds_what_every_data_key_sealed(
    laboratory: Laboratory, noise: Noise, tmp_path: Path
) -> None:
    """Two keys, two generations of data keys: either key reads the points before and after the rotation."""
    second = RepositoryKey.generate()
    contents = [noise(20_000), noise(20_000)]
    before = laboratory.back_up(laboratory.disk(contents[0]))
    keys = laboratory.domain().keys
    rotated = keys.current.next_generation()
    for key in (laboratory.key, second):
        for key_set in (keys.elected, rotated):
            wrap(laboratory.store, key, keys.scope, key_set)
    after = laboratory.back_up(laboratory.disk(contents[1]))
    assert after.key_set == rotated.id.hex() != before.key_set
    for number, key in enumerate((laboratory.key, second)):
        folder = tmp_path / str(number)
        folder.mkdir()
        emergency = Emergency.of(laboratory, folder, key)
        assert [emergency.restored(point) for point in (before, after)] == contents


def test_disks_are_rebuilt_from_s3(
    laboratory: Laboratory, noise: Noise, tmp_path: Path, object_store: SandboxStore
) -> None:
    """With signed requests to a real server, below a prefix, over more than one page of a listing."""
    bucket = f"rescue-{secrets.token_hex(4)}"
    object_store.create_bucket(bucket)
    admin = object_store.admin
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {admin.access_key}\naws_secret_access_key = {admin.secret_key}\n"
    )
    place = S3Place(bucket=bucket, prefix="a b/c", endpoint_url=object_store.endpoint_url, credentials_file=credentials)
    store = S3Store(place)
    content = noise(60_000)
    manifest = laboratory.back_up(laboratory.disk(content))
    for name, data in laboratory.store.objects.items():
        store.put(name, data)
    folder = names.points("target", manifest.point.split("-")[0])
    for number in range(1001):
        store.put(f"{folder}000000-{number:016x}", b"older than all")
    emergency = Emergency.of(laboratory, tmp_path)
    access = {"AWS_ACCESS_KEY_ID": admin.access_key, "AWS_SECRET_ACCESS_KEY": admin.secret_key}
    words = ["--endpoint-url", object_store.endpoint_url, "restore", manifest.point, str(tmp_path / "rescued")]
    done = emergency.run(*words, place=f"s3://{bucket}/a b/c", **access)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rescued").read_bytes() == content
    refused = emergency.run(*words, place=f"s3://{bucket}/a b/c", **access | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert refused.returncode == 1
    assert "the store answers 403" in refused.stderr
    assert "AWS_ACCESS_KEY_ID is not set" in emergency.run(*words, place=f"s3://{bucket}/a b/c").stderr


def test_every_kind_of_loss_is_told_in_one_sentence(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """Which object is missing or damaged; no disk of the final name is left behind."""
    manifest = laboratory.back_up(laboratory.disk(noise(60_000)))
    emergency = Emergency.of(laboratory, tmp_path)
    disk = tmp_path / "rescued"
    restore = ("restore", manifest.point, str(disk))
    for folder, said in (("packs", "cannot be read"), ("index", "No index segment knows the chunk")):
        kept = emergency.objects / f"{folder}-kept"
        (emergency.objects / folder).rename(kept)
        assert said in emergency.refusal(*restore)
        kept.rename(emergency.objects / folder)
    for path in sorted(emergency.objects.glob("[kip][!d]*/**/*")):
        if path.is_file() and "repository" not in path.parts:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            assert str(path.relative_to(emergency.objects)) in emergency.refusal(*restore)
            path.write_bytes(whole)
            assert not disk.exists()
    assert emergency.restored(manifest) == laboratory.restored(manifest)


def test_an_unknown_version_is_told(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """Not as damage: another program reads it."""
    manifest = laboratory.back_up(laboratory.disk(noise(3000)))
    emergency = Emergency.of(laboratory, tmp_path)
    for folder in ("points", "keys/target"):
        (path,) = (path for path in (emergency.objects / folder).rglob("*") if path.is_file())
        whole = path.read_bytes()
        path.write_bytes(whole[:9] + b"\x07" + whole[10:])
        said = emergency.refusal("machine", manifest.point)
        assert f"{path.relative_to(emergency.objects)} has format version 7; this program reads version 1" in said
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["restore", "latest", "disk"], "latest is not the id of a point"),
        (["restore", "0123456789abcdef-000001-0123456789abcdef", "disk"], "There is no point 0123456789abcdef-000001"),
        (["restore", "POINT", "disk"], "The point has the volumes root or data; name one with --volume"),
        (["restore", "POINT", "disk", "--volume", "swap"], "The point has the volumes root or data"),
        (["restore", "POINT", "key", "--volume", "root"], "key exists already; choose another name"),
        (["restore", "POINT", "none/disk", "--volume", "root"], "No such file or directory"),
    ],
)
def test_wrong_wishes_are_refused(
    laboratory: Laboratory, noise: Noise, tmp_path: Path, words: list[str], said: str
) -> None:
    """With what is there instead, or what to do."""
    manifest = laboratory.back_up(laboratory.disk(noise(3000)), laboratory.disk(noise(3000), "data"))
    emergency = Emergency.of(laboratory, tmp_path)
    command, point, disk, *rest = words
    assert said in emergency.refusal(command, point.replace("POINT", manifest.point), str(tmp_path / disk), *rest)


def test_a_wrong_or_malformed_key_is_told(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """Without a word of what it holds."""
    laboratory.back_up(laboratory.disk(noise(3000)))
    emergency = Emergency.of(laboratory, tmp_path, RepositoryKey.generate())
    assert "made with another key" in emergency.refusal("points")
    right = laboratory.key.text()
    for text in (right[:-6] + "AAAA\n", right.replace("key-1", "key-0"), "", "safehold-key-1:***"):
        emergency.key_file.write_text(text)
        said = emergency.refusal("points")
        assert re.search("malformed|no key file", said)
        assert right[20:40] not in said


def test_a_place_without_a_repository_is_told(laboratory: Laboratory, noise: Noise, tmp_path: Path) -> None:
    """An empty directory, or one that is not there."""
    laboratory.back_up(laboratory.disk(noise(3000)))
    emergency = Emergency.of(laboratory, tmp_path)
    shutil.rmtree(emergency.objects)
    assert "is not a directory" in emergency.refusal("points")
    emergency.objects.mkdir()
    assert "holds no repository" in emergency.refusal("points")


def test_help_is_enough_for_a_stranger(tmp_path: Path) -> None:
    """What it needs, how it is called, where credentials come from."""
    shown = Emergency(tmp_path, tmp_path, tmp_path / "key").run("--help").stdout
    for word in ("pip install zstandard cryptography", "points", "restore POINT DISK", "AWS_ACCESS_KEY_ID"):
        assert word in shown
