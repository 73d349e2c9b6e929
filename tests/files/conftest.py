"""Restore points in a real S3 server, whose disks have file systems of several kinds."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.files.disks import make_closed, make_ext4, make_lvm, make_partitioned, make_plain_tree, make_tree

from safehold.cli.points import owner_of
from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.keys.keyfile import RepositoryKey, write_key_file
from safehold.engine.points.manifest import Manifest
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store
from safehold.files.session import PointFiles
from sandbox.objectstore.server import ObjectStore

VOLUMES = ("data", "parts", "closed", "broken", "root")
_PROGRAMS = ("nbdkit", "guestfish", "mkfs.xfs", "mkntfs", "sfdisk")


@dataclass(frozen=True)
class Backup:
    """A point of the VM `vm`, and what was put into it."""

    folder: Path
    """Holds the disks under their volumes' names, `tree` (of data), `plain` (of the others), key and credentials."""
    store: S3Store
    key: RepositoryKey
    manifest: Manifest
    place: tuple[str, ...]
    """The options of the command line that name the repository."""

    def domain(self) -> Domain:
        """The key domain, opened anew."""
        return Repository.open(self.store, self.key, create=False).domain("target", create=False)


def backed_up(object_store: ObjectStore, folder: Path, volumes: Sequence[str]) -> Backup:
    """A point with some of the volumes: ext4 (10 GiB), XFS and NTFS partitions, LVM."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed: run `make test` as root")
    (folder / "tree").mkdir()
    make_tree(folder / "tree")
    make_plain_tree(folder / "plain")
    make_ext4(folder / "data", folder / "tree")
    if "parts" in volumes:
        make_partitioned(folder / "parts", folder / "plain", folder)
    if "closed" in volumes:
        make_closed(folder / "closed")
    if "broken" in volumes:
        (folder / "broken").write_bytes(b"no partition table, and no file system either " * 100_000)
    if "root" in volumes:
        make_lvm(folder / "root", folder / "plain", folder)
    admin = object_store.admin
    credentials = folder / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id={admin.access_key}\naws_secret_access_key={admin.secret_key}\n"
    )
    object_store.create_bucket("files")
    url = object_store.endpoint_url
    store = S3Store(S3Place(bucket="files", prefix=folder.name, endpoint_url=url, credentials_file=credentials))
    key = RepositoryKey.generate()
    write_key_file(folder / "key", key)
    disks = [VolumeInput(name=name, path=folder / name) for name in volumes]
    domain = Repository.open(store, key, create=True).domain("target", create=True)
    manifest = back_up(domain, BackupRequest(run_id="run", owner=owner_of("vm"), volumes=disks), stop=threading.Event())
    place = ("--repository", f"s3://files/{folder.name}", "--endpoint-url", url, "--key-file", str(folder / "key"))
    return Backup(folder, store, key, manifest, place)


@pytest.fixture(scope="session")
def backup(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A point with all volumes."""
    return backed_up(object_store, tmp_path_factory.mktemp("files"), VOLUMES)


@pytest.fixture(scope="session")
def files(backup: Backup) -> Iterator[PointFiles]:
    """All disks of the point in one appliance."""
    with PointFiles(backup.domain(), backup.manifest, VOLUMES) as opened:
        yield opened
