"""Options that say which repository a command works on."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from safehold.engine.geometry import MIB
from safehold.engine.keys.keyfile import RepositoryKey, read_key_file
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.limits import LimitedStore, Rate
from safehold.engine.store.s3 import S3Store
from safehold.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class DomainPlace:
    """The key domain that the options name, and how many MiB a second may go there and come back."""

    repository: str
    endpoint_url: str | None
    key_file: Path | None
    key_domain: str
    limit_upload: float | None = None
    limit_download: float | None = None

    def open(self, *, create: bool) -> Domain:
        """The domain; with `create` it is laid out where it does not exist."""
        store = LimitedStore(
            open_store(self.repository, self.endpoint_url),
            upload=_rate(self.limit_upload),
            download=_rate(self.limit_download),
        )
        return Repository.open(store, find_key(self.key_file), create=create).domain(self.key_domain, create=create)


def with_domain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --repository, --endpoint-url, --key-file and --key-domain; with `bandwidth_options` they become `place`."""

    @wraps(function)
    def called(
        repository: str,
        endpoint_url: str | None,
        key_file: Path | None,
        key_domain: str,
        limit_upload: float | None = None,
        limit_download: float | None = None,
        **others: Any,
    ) -> Any:
        place = DomainPlace(repository, endpoint_url, key_file, key_domain, limit_upload, limit_download)
        return function(place=place, **others)

    decorated: Callable[..., Any] = click.option(
        "--key-domain",
        default="target",
        show_default=True,
        help="Edge of deduplication: target, or namespace/UID for points that the operator made.",
    )(called)
    return place_options(decorated)


def place_options(function: Command) -> Command:
    """Add --repository, --endpoint-url and --key-file."""
    for option in (
        click.option(
            "--key-file",
            envvar="SAFEHOLD_KEY_FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The repository's key, from 'safehold key new'; else SAFEHOLD_KEY_FILE.",
        ),
        click.option("--endpoint-url", help="The S3 service, if it is not AWS."),
        click.option("--repository", required=True, help="s3://BUCKET or s3://BUCKET/PREFIX."),
    ):
        function = option(function)
    return function


def bandwidth_options(function: Command) -> Command:
    """Add --limit-upload and --limit-download."""
    for way, what in (("download", "receive"), ("upload", "send")):
        function = click.option(
            f"--limit-{way}",
            type=click.FloatRange(min=0.01),
            metavar="MIB/S",
            help=f"At most so many MiB a second to {what}.",
        )(function)
    return function


def open_store(repository: str, endpoint_url: str | None, credentials_file: Path | None = None) -> S3Store:
    """The place that the options name. Credentials are found the AWS way, unless a file is given."""
    return S3Store(replace(_place(repository, endpoint_url), credentials_file=credentials_file))


def find_key(key_file: Path | None) -> RepositoryKey:
    """The key in the file that was named; UsageError where none was."""
    if key_file is None:
        raise UsageError("The repository's key is missing", remedy="give --key-file or set SAFEHOLD_KEY_FILE")
    return read_key_file(key_file)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set; the engine then ends in order."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    return stop


def _rate(mib_per_second: float | None) -> Rate | None:
    return None if mib_per_second is None else Rate(int(mib_per_second * MIB))


def _place(repository: str, endpoint_url: str | None) -> S3Place:
    parts = urlsplit(repository)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise UsageError("--repository is malformed", expected="s3://BUCKET or s3://BUCKET/PREFIX", found=repository)
    if endpoint_url is not None and urlsplit(endpoint_url).scheme not in ("http", "https"):
        raise UsageError("--endpoint-url is malformed", expected="http://… or https://…", found=endpoint_url)
    return S3Place(
        bucket=parts.netloc,
        prefix=parts.path,
        endpoint_url=endpoint_url,
        # Other services than AWS seldom answer at BUCKET.HOST.
        force_path_style=endpoint_url is not None,
    )
