"""The restore points of a key domain: find, open, commit, forget."""

import json
from collections.abc import Iterator
from typing import cast

from pydantic import JsonValue, ValidationError

from safehold.engine import names
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import ObjectType
from safehold.engine.names import PointName
from safehold.engine.points.documents import read_documents, read_first_document, seal_documents
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, ObjectMissingError, PointError
from safehold.reasons import Reason


class Points:
    """The catalogue of one key domain. Nothing is listed but one owner's folder, unless a caller asks for all."""

    def __init__(self, store: ObjectStore, keys: KeyRing, domain: str) -> None:
        self._store = store
        self._keys = keys
        self._domain = domain

    def names(self, owner: Owner) -> Iterator[PointName]:
        """The owner's points, newest first."""
        for entry in self._store.list(names.points(self._keys.scope, names.owner_tag(*owner.identity))):
            yield PointName.of_object(entry.name)

    def all(self) -> Iterator[PointName]:
        """Every point of the domain: owner by owner, each owner's newest first."""
        for entry in self._store.list(names.all_points(self._keys.scope)):
            yield PointName.of_object(entry.name)

    def latest(self, owner: Owner) -> Manifest | None:
        """The owner's newest point: one LIST of one name."""
        folder = names.points(self._keys.scope, names.owner_tag(*owner.identity))
        for entry in self._store.list(folder, limit=1):
            manifest = self.read(PointName.of_object(entry.name))
            return manifest if manifest.owner.identity == owner.identity else None
        return None

    def of_run(self, owner: Owner, run_id: str) -> Manifest | None:
        """The point that an earlier attempt of this run has committed."""
        tag = names.run_tag(run_id)
        for name in self.names(owner):
            if name.unique.startswith(tag):
                manifest = self.read(name)
                if manifest.run_id == run_id and manifest.owner.identity == owner.identity:
                    return manifest
        return None

    def read(self, name: PointName) -> Manifest:
        """A point's manifest, without what follows it in the object; PointError (PointNotFound) if there is none."""
        object_name = name.manifest(self._keys.scope)
        try:
            payload = read_first_document(self._store, self._keys, ObjectType.POINT, object_name)
        except ObjectMissingError as problem:
            raise PointError(
                f"The restore point {name.id} does not exist in the key domain {self._domain}",
                remedy="look at the points that exist",
            ) from problem
        try:
            manifest = Manifest.model_validate_json(payload)
        except ValidationError as problem:
            raise IntegrityError(
                f"The manifest {object_name} is malformed", found=problem.errors(include_url=False, include_input=False)
            ) from problem
        if manifest.point != name.id or manifest.domain != self._domain:
            raise IntegrityError(f"The manifest {object_name} is of another point", found=manifest.point)
        return manifest

    def read_owned(self, point_id: str, owner: Owner) -> Manifest:
        """A point that must belong to `owner`: what its sealed manifest says counts, never its name."""
        manifest = self.read(PointName.of_id(point_id))
        if manifest.owner.identity != owner.identity:
            raise PointError(
                f"The restore point {point_id} belongs to another VM",
                expected="/".join(owner.identity),
                found="/".join(manifest.owner.identity),
                reason=Reason.POINT_NOT_YOURS,
            )
        return manifest

    def read_machine(self, manifest: Manifest) -> list[dict[str, JsonValue]]:
        """The VM's Kubernetes objects of a point; none for a plain disk. Reads the whole object and checks it."""
        name = PointName.of_id(manifest.point).manifest(self._keys.scope)
        try:
            _, machine = read_documents(self._store, self._keys, ObjectType.POINT, name)
        except ObjectMissingError as problem:
            raise PointError(f"The restore point {manifest.point} has been forgotten meanwhile") from problem
        return cast("list[dict[str, JsonValue]]", json.loads(machine))

    def commit(self, manifest: Manifest, machine: list[dict[str, JsonValue]]) -> int:
        """Make the point exist; returns the bytes that it took. Everything that it needs is in the store before."""
        name = PointName.of_id(manifest.point).manifest(self._keys.scope)
        documents = [manifest.model_dump_json().encode(), json.dumps(machine, separators=(",", ":")).encode()]
        data = seal_documents(self._keys, ObjectType.POINT, name, documents)
        self._store.put(name, data)
        return len(data)

    def forget(self, manifest: Manifest) -> None:
        """Take the point out of the catalogue. Its chunks stay: others may use them."""
        self._store.delete(PointName.of_id(manifest.point).manifest(self._keys.scope))
