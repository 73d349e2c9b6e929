"""Where a repository is, and the botocore client that reaches it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from safehold.engine.store.connection import AddressPolicy, guard_connections
from safehold.engine.store.credentials import Credentials, read_profile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECT_SECONDS = 10
READ_SECONDS = 60
_ATTEMPTS = 5
"""botocore's standard mode: exponential, with jitter, at most 20 s apart; only what may be repeated is."""
_CONNECTIONS = 24
"""More than the engine's threads that talk to the store at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where a repository is, and how it is reached. Without `credentials_file`, botocore looks for credentials."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    force_path_style: bool = True
    ca_file: Path | None = None
    credentials_file: Path | None = None
    """An AWS shared credentials file with the profile `default`. If given, no other credentials are looked for."""
    addresses: AddressPolicy = field(default_factory=AddressPolicy)

    def __str__(self) -> str:
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{place} at {self.endpoint_url}" if self.endpoint_url else place


class ServiceDescriptions(Loader):
    """Finds botocore's descriptions without looking into the folder of each of 400 services first.

    That took 0.05 CPU-s of every command, and 0.09 s where none of the folders is in memory.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's signature
        """All names of services; one without a description of this type is noticed when it is loaded."""
        folders = (Path(path) for path in self.search_paths)
        return sorted({each.name for folder in folders if folder.is_dir() for each in folder.iterdir()})


def client_of(place: S3Place) -> "S3Client":
    """A client that repeats by itself what may be repeated, and whose connections are guarded."""
    credentials = read_profile(place.credentials_file) if place.credentials_file else Credentials()
    session = Session()
    places = session.get_component("data_loader").search_paths
    session.register_component(
        "data_loader", ServiceDescriptions(extra_search_paths=places, include_default_search_paths=False)
    )
    client = session.create_client(
        "s3",
        endpoint_url=place.endpoint_url,
        # Signatures need some region; stores other than AWS seldom care which.
        region_name=place.region or session.get_config_variable("region") or "us-east-1",
        verify=str(place.ca_file) if place.ca_file else None,
        config=_config(place),
        **credentials,
    )
    guarded = cast("S3Client", client)
    guard_connections(guarded, place.addresses)
    return guarded


def _config(place: S3Place) -> Config:
    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        s3={
            "addressing_style": "path" if place.force_path_style else "auto",
            # SHA-256 of bodies would cost 1 s of CPU time per GiB. TLS covers them on the way, and their own tags
            # for ever; without TLS whoever can change a body can as well swallow the request and answer for us.
            "payload_signing_enabled": False,
        },
        # botocore's own checksums come as trailers, which many stores refuse; every sealed object has its tag.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
