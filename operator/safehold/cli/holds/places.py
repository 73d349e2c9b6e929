"""Where a hold is: on a VMBackup in a cluster, or beside the point in its repository."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from safehold.cli.kubeconfig import kubeconfig_option, refuse_absent
from safehold.cli.repo.options import Place
from safehold.engine.names import PointName
from safehold.engine.repository import Domain
from safehold.errors import PointError
from safehold.kube.client import Cluster
from safehold.kube.holds import find_backup, set_hold


@dataclass(frozen=True, slots=True)
class HeldBackup:
    """A VMBackup whose hold was set or taken off."""

    namespace: str
    name: str
    restore_point: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the options say about the place of the hold. Without a repository it is the cluster."""

    repository: Place | None
    kubeconfig: Path
    namespace: str

    def domain_of(self, point: str) -> Domain:
        """The key domain in the repository that has the point; PointError if none has."""
        assert self.repository is not None
        name = PointName.of_id(point)
        for domain in self.repository.domains(()):
            with suppress(PointError):
                domain.points.read(name)
                return domain
        raise PointError(f"The restore point {point} does not exist", remedy="look at 'safehold repo points'")

    def patch(self, name: str, reason: str | None) -> HeldBackup:
        """Hold the VMBackup of that name, or of that restore point; with None as the reason release it."""
        refuse_absent(self.kubeconfig)
        return asyncio.run(self._patch(name, reason))

    async def _patch(self, name: str, reason: str | None) -> HeldBackup:
        async with Cluster.connect(self.kubeconfig) as cluster:
            backup = await find_backup(cluster, self.namespace, name, is_point=_is_point(name))
            await set_hold(cluster, backup, reason)
        return HeldBackup(self.namespace, backup.metadata.name, backup.status.restore_point)


def with_holder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name the place, and pass them as one argument, `holder`."""

    @wraps(function)
    def called(
        repository: str | None,
        endpoint_url: str | None,
        key_file: Path | None,
        kubeconfig: Path,
        namespace: str,
        **others: Any,
    ) -> Any:
        place = Place(repository, endpoint_url, key_file) if repository else None
        return function(holder=Holder(repository=place, kubeconfig=kubeconfig, namespace=namespace), **others)

    decorated: Callable[..., Any] = called
    for option in (
        click.option(
            "--key-file",
            envvar="SAFEHOLD_KEY_FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="With --repository: its key; else SAFEHOLD_KEY_FILE.",
        ),
        click.option("--endpoint-url", help="With --repository: the S3 service, if it is not AWS."),
        click.option("--repository", help="s3://BUCKET/PREFIX: hold the point there, for points without a VMBackup."),
        kubeconfig_option,
        click.option("--namespace", "-n", default="default", show_default=True, help="The VMBackup's namespace."),
    ):
        decorated = option(decorated)
    return decorated


def _is_point(name: str) -> bool:
    try:
        PointName.of_id(name)
    except PointError:
        return False
    return True
