"""A pod's volumes on this machine: what each is made of, and where a container sees it."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.cluster.client import Object
from sandbox.kubelet.environment import expand

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the host at a path of the container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Device:
    """A block device (or plain file) at a path of the container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class PodVolume:
    """One volume of a pod: a folder or file of the host; `block` ones are used as devices, the others are mounted."""

    name: str
    path: Path
    read_only: bool = False
    block: bool = False


def container_mounts(container: Object, volumes: dict[str, PodVolume], variables: dict[str, str]) -> list[Mount]:
    """Where the container's volumeMounts come from, parents before children."""
    mounts: list[Mount] = []
    for mount in container.get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        below = expand(mount["subPathExpr"], variables) if "subPathExpr" in mount else mount.get("subPath", "")
        source = volume.path / below if below else volume.path
        if below and not source.exists():
            source.mkdir(parents=True)
        mounts.append(Mount(source, mount["mountPath"], volume.read_only or bool(mount.get("readOnly"))))
    return sorted(mounts, key=lambda mount: mount.target.count("/"))


def container_devices(container: Object, volumes: dict[str, PodVolume]) -> list[Device]:
    """Where the container's volumeDevices come from."""
    return [
        Device(volumes[device["name"]].path, device["devicePath"], volumes[device["name"]].read_only)
        for device in container.get("volumeDevices") or []
    ]


async def attach_loop_device(file: Path, *, read_only: bool) -> Path:
    """A loop device over the file; the file itself, with a word in the log, where there are no loop devices."""
    options = ["--read-only"] if read_only else []
    code, output = await _run("losetup", "--find", "--show", "--nooverlap", *options, str(file))
    if code == 0:
        return Path(output.strip())
    _log.warning("no loop device for %s (%s): containers get the plain file", file, output.strip())
    return file


async def detach_loop_device(device: Path) -> None:
    """Gives a loop device back; plain files are left alone."""
    if await asyncio.to_thread(device.is_block_device):
        code, output = await _run("losetup", "--detach", str(device))
        if code != 0:
            _log.warning("loop device %s could not be detached: %s", device, output.strip())


async def mount_memory(folder: Path, size_bytes: int | None) -> None:
    """Mounts a tmpfs of at most that size (half of the machine's memory if None)."""
    options = "mode=0777" + (f",size={size_bytes}" if size_bytes else "")
    code, output = await _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if code != 0:
        raise OSError(f"tmpfs at {folder}: {output.strip()}")


async def unmount(folder: Path) -> None:
    """Unmounts the folder if something is mounted there."""
    if await asyncio.to_thread(folder.is_mount):
        await _run("umount", "--lazy", str(folder))


def give_to_group(path: Path, gid: int) -> None:
    """What fsGroup asks for: everything below belongs to the group, which may write, and hands that on."""
    for folder, folders, files in os.walk(path):
        _open_to_group(Path(folder), gid, 0o2070)
        for name in files:
            _open_to_group(Path(folder, name), gid, 0o060)
        folders[:] = [name for name in folders if not Path(folder, name).is_symlink()]


def _open_to_group(path: Path, gid: int, mode: int) -> None:
    os.chown(path, -1, gid, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
