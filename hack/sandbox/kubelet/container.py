"""One container: its specification for the launcher, its process, and how it ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sandbox.kubelet import journal
from sandbox.kubelet.identity import Identity
from sandbox.kubelet.memory import create_group, watch_memory
from sandbox.kubelet.mounts import Device, Mount

_LAUNCHER = Path(__file__).with_name("launcher.py")
_HOST_FOLDERS = ("/usr", "/opt", "/etc/ssl", "/etc/alternatives")
_HOST_FILES = (
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/mime.types",
)
_MERGED_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LINE_BYTES = 1 << 20


class StartError(Exception):
    """The command could not be executed; the message is the launcher's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything that a container's process needs, resolved."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str
    identity: Identity
    mounts: tuple[Mount, ...]
    devices: tuple[Device, ...]
    exposed: tuple[Path, ...]
    memory_limit_bytes: int | None

    def running(self, command: Sequence[str]) -> ContainerSpec:
        """The same with another command."""
        return replace(self, command=tuple(command))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended. `reason` is that of its terminated state."""

    exit_code: int
    reason: str
    message: str


@dataclass(slots=True)
class RunningContainer:
    """A started container."""

    spec: ContainerSpec
    process: Process
    folder: Path
    log: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def first_process(self) -> int | None:
        """The machine's number of the container's process 1; None once it is gone."""
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def terminate(self) -> None:
        """Sends SIGTERM to the container's process."""
        with suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        """Ends all processes of the container at once."""
        with suppress(ProcessLookupError):
            self.process.kill()


async def start_container(spec: ContainerSpec, folder: Path, log: Path) -> RunningContainer:
    """Starts the container's process; `folder` is its own. Raises StartError."""
    (folder / "root").mkdir(parents=True, exist_ok=True)
    process = await launch(spec, folder)
    assert process.stdin is not None
    process.stdin.close()
    log.parent.mkdir(parents=True, exist_ok=True)
    return RunningContainer(spec, process, folder, log)


async def launch(spec: ContainerSpec, folder: Path, *, entered: int | None = None) -> Process:
    """A process in a container of its own, or in the one whose first process is `entered`. Raises StartError.

    Its stdin is open, though only an entered container's command reads from it.
    """
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCHER),
            str(writing),
            *([str(entered)] if entered else []),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=[writing],
            cwd="/",
            env={},
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    finally:
        os.close(writing)
    assert process.stdin is not None
    process.stdin.write(json.dumps(_launcher_spec(spec, folder)).encode() + b"\n")
    try:
        complaint = await asyncio.to_thread(_read_to_end, reading)
    except asyncio.CancelledError:
        process.kill()
        await process.communicate()
        raise
    if complaint:
        await process.communicate()
        raise StartError(complaint.decode(errors="replace"))
    return process


async def finish_container(
    container: RunningContainer, memory_limit_bytes: int | None, message_file: Path, *, fall_back_to_log: bool
) -> Ending:
    """Records the container's output until it ends, and says how it did."""
    process = container.process
    assert process.stdout is not None
    assert process.stderr is not None
    exceeded = asyncio.Event()
    group = create_group(_group_name(container.folder), memory_limit_bytes) if memory_limit_bytes else None

    def kill_for_memory() -> None:
        exceeded.set()
        container.kill()

    watch = None
    if memory_limit_bytes and group is None:
        watch = asyncio.create_task(watch_memory(process.pid, memory_limit_bytes, kill_for_memory))
    try:
        await asyncio.gather(
            journal.record(process.stdout, "stdout", container.log),
            journal.record(process.stderr, "stderr", container.log),
        )
        returned = await process.wait()
    finally:
        if watch:
            watch.cancel()
    code = 128 - returned if returned < 0 else returned
    if group and group.out_of_memory:
        exceeded.set()
    if group:
        await group.remove()
    container.ended.set()
    reason = "OOMKilled" if exceeded.is_set() and code else "Completed" if code == 0 else "Error"
    fall_back = fall_back_to_log and code != 0
    return Ending(code, reason, journal.termination_message(message_file, container.log, fall_back_to_log=fall_back))


def _read_to_end(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as report:
        return report.read()


def _launcher_spec(spec: ContainerSpec, folder: Path) -> dict[str, object]:
    cgroups: list[str] = []
    if spec.memory_limit_bytes and (group := create_group(_group_name(folder), spec.memory_limit_bytes)):
        cgroups.append(str(group.path))
    identity = spec.identity
    owner = {"uid": identity.uid, "gid": identity.gid}
    return {
        **asdict(identity),
        "root": str(folder / "root"),
        "command": list(spec.command),
        "environment": dict(spec.environment),
        "working_directory": spec.working_directory,
        "cgroups": cgroups,
        "links": {path: str(Path(path).readlink()) for path in _MERGED_FOLDERS if Path(path).is_symlink()},
        "exposed": _exposed(spec.exposed),
        "mounts": [{**asdict(mount), "source": str(mount.source)} for mount in spec.mounts],
        "devices": [{**asdict(device), "source": str(device.source), **owner} for device in spec.devices],
    }


def _exposed(image_paths: tuple[Path, ...]) -> list[str]:
    unmerged = [path for path in _MERGED_FOLDERS if Path(path).is_dir() and not Path(path).is_symlink()]
    host = [path for path in (*_HOST_FOLDERS, *unmerged, *_HOST_FILES) if Path(path).exists()]
    return [*host, *(str(path) for path in image_paths)]


def _group_name(folder: Path) -> str:
    """Unique on this machine: the pod's uid and the container's name."""
    return f"{folder.parent.name}-{folder.name}"
