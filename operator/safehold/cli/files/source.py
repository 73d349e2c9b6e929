"""Where a restore point comes from that files are read out of: a repository, or a VMBackup of a cluster."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from safehold.cli.kubeconfig import kubeconfig_option, refuse_absent
from safehold.cli.points import find_point
from safehold.cli.repository import DomainPlace
from safehold.engine.disks.comparing import volume_of
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.repository import Domain, Repository
from safehold.errors import UsageError
from safehold.files.programs import has_kvm
from safehold.files.session import PointFiles
from safehold.kube.client import Cluster
from safehold.kube.points import PointAccess, find_access
from safehold.worker.folder import RunFolder

_OPTIONS = (
    click.option("--repository", help="s3://BUCKET or s3://BUCKET/PREFIX, to read without a cluster."),
    click.option("--endpoint-url", help="With --repository: the S3 service, if it is not AWS."),
    click.option(
        "--key-file",
        envvar="SAFEHOLD_KEY_FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="With --repository: its key; else SAFEHOLD_KEY_FILE.",
    ),
    click.option(
        "--key-domain",
        default="target",
        show_default=True,
        help="With --repository: target, or namespace/UID for points that the operator made.",
    ),
    click.option("--vm", help="With --repository: whose point it must be; needed for latest."),
    click.option("--namespace", "-n", help="The namespace of the VMBackup that POINT names."),
    kubeconfig_option,
    click.option(
        "--operator-namespace",
        default="safehold",
        show_default=True,
        help="With --namespace: where a ClusterBackupTarget's Secrets are.",
    ),
    click.option("--volume", help="The disk's name in the VM; else POINT:VOLUME, or all disks."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSource:
    """What the options say."""

    point: str
    repository: str | None
    endpoint_url: str | None
    key_file: Path | None
    key_domain: str
    vm: str | None
    namespace: str | None
    kubeconfig: Path
    operator_namespace: str
    volume: str | None

    @contextmanager
    def open(self) -> Iterator[tuple[Domain, Manifest]]:
        """The point; credentials that come from a cluster are on this machine only as long as it is open."""
        # Whoever ends us by SIGTERM shall find no credentials left behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if self.repository is not None:
            place = DomainPlace(self.repository, self.endpoint_url, self.key_file, self.key_domain)
            domain = place.open(create=False)
            yield domain, find_point(domain, self.point, self.vm)
        elif self.namespace is not None:
            refuse_absent(self.kubeconfig)
            access = asyncio.run(self._access(self.namespace))
            with tempfile.TemporaryDirectory(prefix="safehold-") as folder:
                yield _opened(access, Path(folder))
        else:
            raise UsageError("Where the point is has not been said", remedy="give --repository, or --namespace")

    def volumes(self, manifest: Manifest) -> list[str]:
        """The disks that are meant: the one that was named, or all of the VM's; its memory and state hold no files."""
        if self.volume is None:
            return [volume.name for volume in manifest.volumes if volume.role == "Disk"]
        role = volume_of(manifest, self.volume).role
        if role != "Disk":
            raise UsageError(f"{self.volume} is the VM's {role.lower()}, not a disk")
        return [self.volume]

    async def _access(self, namespace: str) -> PointAccess:
        async with Cluster.connect(self.kubeconfig) as cluster:
            return await find_access(cluster, self.point, namespace, operator_namespace=self.operator_namespace)


def with_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and POINT as the first argument; the command gets them as `source`."""

    @wraps(function)
    def command(point: str, volume: str | None, **options: Any) -> Any:
        names = set(PointSource.__dataclass_fields__) - {"point", "volume"}
        named, _, after = point.partition(":")
        if after and volume not in (None, after):
            raise UsageError("Two volumes are named", found=f"{after} and {volume}")
        source = PointSource(point=named, volume=after or volume, **{name: options.pop(name) for name in names})
        return function(source=source, **options)

    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    decorated: Callable[..., Any] = click.argument("point", metavar="POINT[:VOLUME]")(wrapped)
    return decorated


@contextmanager
def opened_files(source: PointSource, domain: Domain, manifest: Manifest) -> Iterator[PointFiles]:
    """The point's files, with a word to whoever waits at a terminal: without KVM it takes a while."""
    if sys.stderr.isatty():
        wait = "a few seconds" if has_kvm() else "about 20 seconds, as there is no KVM"
        click.echo(f"Starting libguestfs: {wait}, and once as much when it is started for the first time.", err=True)
    with PointFiles(domain, manifest, source.volumes(manifest)) as files:
        yield files


def mount(files: PointFiles, partition: str | None) -> None:
    """Mount what the options say, and tell what could not be."""
    for sentence in files.mount(partition):
        click.echo(f"Note: {sentence}", err=True)


def _opened(access: PointAccess, folder: Path) -> tuple[Domain, Manifest]:
    for name, content in access.files.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_bytes(content)
    run = RunFolder(folder)
    repository = Repository.open(run.store(access.place), run.key(), create=False)
    domain = repository.domain(access.key_domain, create=False)
    return domain, domain.points.read_owned(access.restore_point, Owner(**access.owner.model_dump()))
