"""`python -m sandbox up`: all parts of the sandbox as child processes over one state folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import click

from sandbox.program import Program, ProgramError, ended

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
SAFEHOLD_IMAGE = f"safehold@65532={sys.executable} -m safehold"


class SandboxError(Exception):
    """The sandbox cannot start."""


@dataclass(slots=True)
class Sandbox:
    """The whole sandbox for the time of an `async with`. Its parts keep their data under `state` and take it up again.

    `no_qemu` makes guests that are only disks; `images` are the kubelet's image mappings beside Safehold's own;
    `buckets` are created in the object store. `fresh` empties the folder first.
    """

    state: Path
    no_qemu: bool = False
    fresh: bool = False
    images: Sequence[str] = ()
    buckets: Sequence[str] = ()
    resync_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    """What this machine cannot play, in plain words."""
    s3_endpoint: str = ""
    _parts: dict[str, Program] = field(default_factory=dict)
    _drains: list[asyncio.Task[None]] = field(default_factory=list)
    _lock: IO[str] | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "apiserver" / "admin.kubeconfig"

    @property
    def s3_credentials(self) -> Path:
        """An AWS credentials file for the object store's administrator."""
        return self.state / "objectstore" / "credentials"

    def log_of(self, part: str) -> Path:
        """What a part wrote to its standard output and error."""
        return self.state / "logs" / f"{part}.log"

    def pid_of(self, part: str) -> int:
        """The process of a part."""
        return self._parts[part].process.pid

    async def __aenter__(self) -> Self:
        self.state = self.state.resolve()
        self._take_state()
        try:
            await self._start_all()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    def _take_state(self) -> None:
        """Two sandboxes over one folder would write over each other's objects; the lock ends with this process."""
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise SandboxError(f"another sandbox runs over {self.state}: end it, or name another --state") from error
        if self.fresh:
            for part in self.state.iterdir():
                if part.is_dir():
                    shutil.rmtree(part)

    async def _leave(self) -> None:
        await self._stop_all()
        if self._lock:
            self._lock.close()

    async def wait(self) -> None:
        """Returns never: raises ProgramError as soon as a part ends by itself."""
        await ended(self._parts.values())

    async def _start_all(self) -> None:
        buckets = [word for bucket in self.buckets for word in ("--bucket", bucket)]
        started = await asyncio.gather(
            self._start("apiserver"), self._start("objectstore", *buckets), return_exceptions=True
        )
        for result in started:
            if isinstance(result, BaseException):
                raise result
        self.s3_endpoint = str(started[1]).split()[0]
        cluster = ("--kubeconfig", str(self.kubeconfig))
        resync = ("--resync-seconds", str(self.resync_seconds)) if self.resync_seconds else ()
        await self._start("csi", *cluster, *resync)
        volumes = ("--volumes", str(self.state / "csi"))
        if os.geteuid() == 0:
            images = [word for image in (SAFEHOLD_IMAGE, *self.images) for word in ("--image", image)]
            await self._start("kubelet", *cluster, *volumes, *images)
        else:
            self.notes.append("No pods will run: the kubelet needs root to give containers their own mounts and users.")
        await self._start("kubevirt", *cluster, *volumes, *(("--no-qemu",) if self.no_qemu else ()))

    async def _start(self, name: str, *arguments: str) -> str:
        """Starts a part and waits for its first line, which it prints once it serves; returns that line."""
        part = await Program.start(
            f"the sandbox's part {name!r}",
            (sys.executable, "-m", "sandbox", name, "--state", str(self.state / name), *arguments),
            self.log_of(name),
            stdout=PIPE,
        )
        self._parts[name] = part
        output = part.process.stdout
        assert output is not None
        try:
            line = await asyncio.wait_for(output.readline(), _START_SECONDS)
        except TimeoutError as error:
            raise part.error(f"was not ready after {_START_SECONDS:.0f} s") from error
        if not line:
            raise part.error("did not start")
        self._drains.append(asyncio.create_task(_append(output, part.log)))
        return line.decode().strip()

    async def _stop_all(self) -> None:
        """Ends the parts, the last one started first."""
        while self._parts:
            await self._parts.popitem()[1].stop(_STOP_SECONDS)
        await asyncio.gather(*self._drains)
        self._drains.clear()


async def _append(stream: asyncio.StreamReader, log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        while data := await stream.read(1 << 16):
            file.write(data)


@click.command("up")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".sandbox"),
    show_default=True,
    help="Folder of all data.",
)
@click.option("--no-qemu", is_flag=True, help="Guests are only disks: nothing boots, nothing is frozen.")
@click.option("--bucket", "buckets", multiple=True, default=("backups",), show_default=True, help="Buckets to create.")
@click.option("--image", "images", multiple=True, metavar="NAME[@UID]=COMMAND", help="A further image for pods.")
def command(state: Path, no_qemu: bool, buckets: tuple[str, ...], images: tuple[str, ...]) -> None:
    """All parts together, until Ctrl-C or SIGTERM."""
    try:
        asyncio.run(_stay_up(Sandbox(state, no_qemu=no_qemu, images=images, buckets=buckets)))
    except (SandboxError, ProgramError) as error:
        raise click.ClickException(str(error)) from error


async def _stay_up(sandbox: Sandbox) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        async with sandbox:
            _print_welcome(sandbox)
            await sandbox.wait()


def _print_welcome(sandbox: Sandbox) -> None:
    for note in sandbox.notes:
        click.echo(f"Note: {note}")
    click.echo(f"export PATH={Path(sys.executable).parent}:$PATH KUBECONFIG={sandbox.kubeconfig}")
    click.echo(f"export AWS_ENDPOINT_URL={sandbox.s3_endpoint} AWS_SHARED_CREDENTIALS_FILE={sandbox.s3_credentials}")
    click.echo(f"Buckets: {', '.join(sandbox.buckets) or 'none'}. Logs: {sandbox.state / 'logs'}. Ctrl-C ends it.")
    click.echo("Safehold is not installed here; 'make sandbox' starts a cluster with it and two guests.")
