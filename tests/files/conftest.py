"""A restore point in a real S3 server, whose disks have file systems of several kinds; made once."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.files.disks import make_ext4, make_lvm, make_partitioned, make_plain_tree, make_tree

from safehold.cli.points import owner_of
from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.keys.keyfile import RepositoryKey, write_key_file
from safehold.engine.points.manifest import Manifest
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.s3 import S3Place, S3Store
from safehold.files.session import PointFiles
from sandbox.objectstore.server import ObjectStore

VOLUMES = ("data", "parts", "root")
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


@pytest.fixture(scope="session")
def backup(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Disks of ext4 (10 GiB), of XFS and NTFS partitions, and of LVM, backed up to S3."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed: run `make test` as root")
    folder = tmp_path_factory.mktemp("files")
    (folder / "tree").mkdir()
    make_tree(folder / "tree")
    make_plain_tree(folder / "plain")
    make_ext4(folder / "data", folder / "tree")
    make_partitioned(folder / "parts", folder / "plain", folder)
    make_lvm(folder / "root", folder / "plain", folder)
    admin = object_store.admin
    credentials = folder / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id={admin.access_key}\naws_secret_access_key={admin.secret_key}\n"
    )
    object_store.create_bucket("files")
    place = S3Place(bucket="files", endpoint_url=object_store.endpoint_url, credentials_file=credentials)
    store, key = S3Store(place), RepositoryKey.generate()
    write_key_file(folder / "key", key)
    volumes = [VolumeInput(name=name, path=folder / name) for name in VOLUMES]
    request = BackupRequest(run_id="run", owner=owner_of("vm"), volumes=volumes)
    domain = Repository.open(store, key, create=True).domain("target", create=True)
    manifest = back_up(domain, request, stop=threading.Event())
    options = ("--repository", "s3://files", "--endpoint-url", object_store.endpoint_url)
    return Backup(folder, store, key, manifest, (*options, "--key-file", str(folder / "key")))


@pytest.fixture(scope="session")
def files(backup: Backup) -> Iterator[PointFiles]:
    """All disks of the point in one appliance."""
    with PointFiles(backup.domain(), backup.manifest, VOLUMES) as opened:
        yield opened
