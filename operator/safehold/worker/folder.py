"""The run's folder: what the controller asks, and the files that must never be in JSON or arguments."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from safehold.engine.keys.keyfile import RepositoryKey, read_key_file
from safehold.engine.repository import Repository
from safehold.engine.store.base import ObjectStore
from safehold.engine.store.client import S3Place
from safehold.engine.store.connection import AddressPolicy
from safehold.engine.store.limits import LimitedStore, Rate
from safehold.engine.store.s3 import S3Store
from safehold.envelope import KEY_BYTES
from safehold.errors import KeyMaterialError, UsageError
from safehold.run import CA_FILE, CREDENTIALS_FILE, ENVELOPE_FILE, KEY_FILE, RUN_FILE, RepositoryPlace

Run = TypeVar("Run", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The mounted Secret of one run."""

    path: Path

    def read(self, kind: type[Run]) -> Run:
        """The run; UsageError if the file is missing or asks for another verb."""
        try:
            return kind.model_validate_json((self.path / RUN_FILE).read_bytes())
        except OSError as problem:
            raise UsageError(f"The run {self.path / RUN_FILE} cannot be read", found=problem.strerror) from problem
        except ValidationError as problem:
            fields = ", ".join(".".join(str(part) for part in error["loc"]) for error in problem.errors())
            raise UsageError(f"The run is not a {kind.__name__}", found=f"wrong fields {fields}") from None

    def key(self) -> RepositoryKey:
        """The repository key."""
        return read_key_file(self.path / KEY_FILE)

    def envelope_key(self) -> bytes:
        """The key under which the VM's manifest is sealed for the controller."""
        try:
            key = (self.path / ENVELOPE_FILE).read_bytes()
        except OSError as problem:
            raise UsageError("The run has no envelope key", found=problem.strerror) from problem
        if len(key) != KEY_BYTES:
            raise KeyMaterialError("The envelope key is malformed", expected=f"{KEY_BYTES} bytes", found=len(key))
        return key

    def repository(self, place: RepositoryPlace, *, create: bool = False) -> Repository:
        """The repository at this place, under the folder's key; without `create` it must be there."""
        return Repository.open(self.store(place), self.key(), create=create)

    def store(self, place: RepositoryPlace) -> ObjectStore:
        """The store at this place, with the credentials and the CA of the folder, within the run's bandwidth."""
        store = self._unlimited(place)
        limit = place.bandwidth_bytes_per_second
        return store if limit is None else LimitedStore(store, upload=Rate(limit), download=Rate(limit))

    def _unlimited(self, place: RepositoryPlace) -> S3Store:
        return S3Store(
            S3Place(
                bucket=place.bucket,
                prefix=place.prefix,
                endpoint_url=place.endpoint_url,
                region=place.region,
                force_path_style=place.force_path_style,
                ca_file=self._existing(CA_FILE),
                credentials_file=self._existing(CREDENTIALS_FILE),
                addresses=AddressPolicy(place.allow_local_endpoint, tuple(place.forbidden_addresses)),
            )
        )

    def _existing(self, name: str) -> Path | None:
        path = self.path / name
        return path if path.exists() else None
