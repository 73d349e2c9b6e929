"""Options that the commands of `safehold repo` share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from safehold.cli.repository import find_key, open_store, place_options
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.repository import Domain, Repository
from safehold.engine.store.s3 import S3Store

output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
domains_option = click.option(
    "--key-domain",
    "key_domains",
    multiple=True,
    metavar="DOMAIN",
    help="Only this key domain: target, or namespace/UID. May be given several times; without it, all.",
)


@dataclass(frozen=True, slots=True)
class Place:
    """The repository that the options name."""

    repository: str
    endpoint_url: str | None
    key_file: Path | None

    def store(self) -> S3Store:
        """Its store."""
        return open_store(self.repository, self.endpoint_url)

    def key(self) -> RepositoryKey:
        """Its key."""
        return find_key(self.key_file)

    def open(self) -> Repository:
        """The repository, which must exist."""
        return Repository.open(self.store(), self.key(), create=False)

    def domains(self, names: tuple[str, ...]) -> list[Domain]:
        """The key domains of these names, or all."""
        repository = self.open()
        return [repository.domain(name, create=False) for name in names or repository.domains()]


def with_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a repository, and pass them as one argument, `place`."""

    @wraps(function)
    def called(repository: str, endpoint_url: str | None, key_file: Path | None, **others: Any) -> Any:
        return function(place=Place(repository, endpoint_url, key_file), **others)

    decorated: Callable[..., Any] = place_options(called)
    return decorated
