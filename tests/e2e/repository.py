"""The bucket, seen by somebody who holds its credentials and the repository key."""

from pathlib import Path

from tests.e2e.world import BUCKET, SHARED, World

from safehold.engine.names import PointName
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store
from safehold.errors import PointError
from sandbox.cluster.client import Object


def stored_objects(world: World, prefix: str = f"cluster/{SHARED}") -> list[str]:
    """Names of all objects below a prefix of the bucket."""
    return sorted(entry.name for entry in _store(world, prefix).list(""))


def domain_of(world: World, backup: Object, prefix: str = f"cluster/{SHARED}") -> Domain:
    """The key domain in which a VMBackup's point lies."""
    repository = Repository.open(_store(world, prefix), world.key, create=False)
    return repository.domain(f"namespace/{backup['status']['namespaceUID']}", create=False)


def has_point(world: World, backup: Object, prefix: str = f"cluster/{SHARED}") -> bool:
    """Whether the point of a VMBackup is in the repository below a prefix of the bucket."""
    try:
        domain_of(world, backup, prefix).points.read(PointName.of_id(backup["status"]["restorePoint"]))
    except PointError:
        return False
    return True


def forge_machine(
    world: World, backup: Object, prefix: str, objects: list[Object], *, vm_uid: str | None = None
) -> None:
    """Rewrite a point as whoever holds bucket and key can: more objects beside its VM, another VM as its owner."""
    points = domain_of(world, backup, prefix).points
    manifest = points.read(PointName.of_id(backup["status"]["restorePoint"]))
    machine = [*points.read_machine(manifest), *objects]
    if vm_uid:
        manifest = manifest.model_copy(update={"owner": manifest.owner.model_copy(update={"vm_uid": vm_uid})})
    points.commit(manifest, machine)


def _store(world: World, prefix: str) -> S3Store:
    return S3Store(
        S3Place(
            bucket=BUCKET,
            prefix=prefix,
            endpoint_url=world.sandbox.s3_endpoint,
            credentials_file=Path(world.sandbox.s3_credentials),
        )
    )
