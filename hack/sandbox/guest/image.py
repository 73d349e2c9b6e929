"""Builds the guest's kernel and initramfs once per machine and keeps them in a cache folder."""

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.guest import kernel, packages
from sandbox.guest.errors import ImageError
from sandbox.guest.initramfs import Initramfs

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).parent / "root"
"""The files that are the guest's own: init, the writer, the checks, the freeze hook."""
_RECIPES = Path(__file__).parents[3] / "docs" / "recipes" / "fsfreeze-hook.d"
"""The hooks that docs/application-hooks.md recommends, so that tests try these and no others."""
_OS_RELEASE = b'ID=sandbox\nNAME="Safehold sandbox guest"\nPRETTY_NAME="Safehold sandbox guest"\n'
_HOST_PROGRAMS = {
    "bin/busybox": ("busybox", "busybox-static"),
    "bin/sqlite3": ("sqlite3", "sqlite3"),
    "sbin/mke2fs": ("mke2fs", "e2fsprogs"),
    "sbin/e2fsck": ("e2fsck", "e2fsprogs"),
}
"""Path in the guest → (program of the host, Debian package that brings it)."""


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What QEMU boots."""

    kernel: Path
    initramfs: Path


def default_cache() -> Path:
    """Where images are kept if nobody says otherwise: $XDG_CACHE_HOME/safehold-sandbox."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safehold-sandbox"


def guest_image(cache: Path) -> GuestImage:
    """The image for this machine, built at first use (about 5 s and a download of 27 MB).

    The folder's name is a digest of everything that went in, so a change builds anew; two processes may build at once.
    """
    programs = {path: host_program(*source) for path, source in _HOST_PROGRAMS.items()}
    wanted = packages.guest_packages()
    folder = cache / f"guest-{_digest(wanted, programs)}"
    image = GuestImage(folder / "vmlinux", folder / "initramfs.cpio")
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
            built = _build(Path(scratch), wanted, programs)
            try:
                built.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return image


def _build(scratch: Path, wanted: dict[str, str], programs: dict[str, Path]) -> Path:
    _log.info("building the guest image (kernel, agent, initramfs)")
    tree, built = scratch / "tree", scratch / "built"
    built.mkdir()
    packages.unpack(wanted, tree)
    kernel.write_bootable_kernel(tree, built / "vmlinux")
    with (built / "initramfs.cpio").open("wb") as stream:
        archive = Initramfs(stream)
        for path, source in _own_files():
            archive.file(path, source.read_bytes(), executable=True)
        for name, module in kernel.module_files(tree).items():
            archive.file(f"lib/modules/{name}.ko", module.read_bytes())
        for path, program in programs.items():
            archive.program(path, program)
        archive.program("sbin/qemu-ga", tree / "usr/sbin/qemu-ga")
        archive.file("etc/qemu/fsfreeze-hook", (tree / "etc/qemu/fsfreeze-hook").read_bytes(), executable=True)
        taken = {Path(path).name for path in archive.paths}
        for applet in _applets(programs["bin/busybox"]):
            # Busybox has a small mke2fs and shutdown of its own; the real ones must win.
            if applet not in taken:
                archive.link(f"bin/{applet}", "busybox")
        for folder in ("proc", "sys", "dev", "run", "tmp", "data", "var/run", "var/log", "etc"):
            archive.folder(folder)
        archive.file("etc/os-release", _OS_RELEASE)
        archive.finish()
    return built


def _own_files() -> Iterator[tuple[str, Path]]:
    yield from ((str(path.relative_to(_ROOT)), path) for path in sorted(_ROOT.rglob("*")) if path.is_file())
    yield from ((f"etc/qemu/fsfreeze-hook.d/{path.name}", path) for path in sorted(_RECIPES.iterdir()))


def _applets(busybox: Path) -> list[str]:
    return subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()


def host_program(name: str, package: str) -> Path:
    """A program of this machine; ImageError names the Debian package that brings it."""
    # Debian keeps e2fsprogs in sbin, which is not on an ordinary user's path.
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if found is None:
        raise ImageError(
            f"{name} is missing: install the Debian package {package}, or start the sandbox with --no-qemu"
        )
    return Path(found).resolve()


def _digest(wanted: dict[str, str], programs: dict[str, Path]) -> str:
    parts = [*map(str, sorted(wanted.items()))]
    parts += [f"{path}:{program.stat().st_size}:{program.stat().st_mtime_ns}" for path, program in programs.items()]
    parts += [f"{path}:{hashlib.sha256(source.read_bytes()).hexdigest()}" for path, source in _own_files()]
    for module in (Path(__file__), Path(kernel.__file__)):
        parts.append(hashlib.sha256(module.read_bytes()).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
