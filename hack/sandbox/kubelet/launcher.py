"""Becomes a container: reads a JSON specification from stdin, builds its root, gives up its rights, executes it.

Run by the kubelet as root with `python -I -S launcher.py REPORT_FD [PID]`: with the PID of a container's first process
the command runs in that container instead of one of its own, as `kubectl exec` asks for. Nothing but the standard
library is imported, as this process stays beside every container, to pass signals on. Closing REPORT_FD without a word
means that the command runs; anything written to it is why it does not.
"""

import ctypes
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_MS_RDONLY, _MS_NOSUID, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x2, 0x20, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_LAST_CAPABILITY = 40
_DEVICES = ("null", "zero", "full", "random", "urandom")
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Starts the container and returns its exit code: 128 + n if signal n ended it."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    entered = int(sys.argv[2]) if len(sys.argv) > 2 else None
    spec = json.loads(sys.stdin.readline())
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    root = _enter(entered) if entered else _build_root
    if not entered:
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID), "unshare")
    child = os.fork()
    if child == 0:
        _become_container(spec, report, root)
    os.close(report)
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _enter(pid: int) -> Callable[[dict[str, Any]], None]:
    """Join the namespaces of a running container; the answer changes into its root, once the child is forked."""
    root, *namespaces = (os.open(f"/proc/{pid}/{name}", os.O_RDONLY) for name in ("root", "ns/mnt", "ns/pid"))
    for namespace in namespaces:
        _check(_libc.setns(namespace, 0), "setns")

    def change_root(_: dict[str, Any]) -> None:
        os.fchdir(root)
        os.chroot(".")

    return change_root


def _become_container(spec: dict[str, Any], report: int, build_root: Callable[[dict[str, Any]], None]) -> None:
    """The child: never returns."""
    try:
        for path in spec["cgroups"]:
            Path(path, "cgroup.procs").write_text("0")
        build_root(spec)
        _give_up_rights(spec)
        os.chdir(spec["working_directory"])
        _execute(spec["command"], spec["environment"])
    except OSError as error:
        os.write(report, str(error).encode())
        os._exit(128)


def _execute(command: list[str], environment: dict[str, str]) -> None:
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (a container)
    except FileNotFoundError as error:
        where = "no such file or directory" if "/" in command[0] else "executable file not found in $PATH"
        raise OSError(f'exec: "{command[0]}": {where}') from error


def _build_root(spec: dict[str, Any]) -> None:
    root = Path(spec["root"])
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID, "mode=0755")
    for name in ("proc", "dev", "tmp", "etc", "run", "var"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    for link, target in spec["links"].items():
        (root / link.lstrip("/")).symlink_to(target)
    for path in spec["exposed"]:
        _bind(Path(path), root / path.lstrip("/"), read_only=True)
    _mount("proc", root / "proc", "proc", _MS_NOSUID)
    _mount("tmpfs", root / "dev", "tmpfs", _MS_NOSUID, "mode=0755")
    for name in _DEVICES:
        _bind(Path("/dev", name), root / "dev" / name, read_only=False)
    (root / "dev/shm").mkdir(mode=0o1777)
    _mount("tmpfs", root / "dev/shm", "tmpfs", _MS_NOSUID, "mode=1777")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(target)
    _mount_volumes(root, spec["mounts"], spec["exposed"])
    for device in spec["devices"]:
        _make_device(device, root / device["target"].lstrip("/"))
    if spec["read_only_root"]:
        _mount("none", root, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID)
    os.chroot(root)
    os.chdir("/")
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def _mount_volumes(root: Path, mounts: list[dict[str, Any]], exposed: list[str]) -> None:
    for mount in mounts:
        _bind(Path(mount["source"]), root / mount["target"].lstrip("/"), read_only=mount["read_only"])
    for path in exposed:
        # A volume at /tmp would hide a program that lies below /tmp on this machine.
        if any(Path(path).is_relative_to(mount["target"]) for mount in mounts):
            _bind(Path(path), root / path.lstrip("/"), read_only=True)


def _make_device(device: dict[str, Any], target: Path) -> None:
    """A block device of the pod's own, owned by the container's user, or the plain file where there is none."""
    source = Path(device["source"])
    status = source.stat()
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISBLK(status.st_mode):
        os.mknod(target, stat.S_IFBLK, status.st_rdev)
        target.chmod(0o660)
        os.chown(target, device["uid"], device["gid"])
    else:
        _bind(source, target, read_only=device["read_only"])


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), target, None, _MS_BIND | _MS_REC)
    if read_only:
        _mount("none", target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)


def _give_up_rights(spec: dict[str, Any]) -> None:
    kept = set(spec["capabilities"])
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in kept:
            # A kernel that does not know the capability refuses to drop it.
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(spec["groups"])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])
    os.umask(0o022)
    if spec["no_new_privileges"]:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    # Last, as every change of rights clears it. It ends the container with this launcher.
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def _mount(source: str, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), str(target).encode(), kind.encode() if kind else None, flags, options.encode()
    )
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    sys.exit(main())
