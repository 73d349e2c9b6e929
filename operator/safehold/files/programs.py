"""The programs of the system that read file systems: found, and started without a secret."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from safehold.errors import ProgramError

PACKAGES = ("nbdkit", "nbdkit-plugin-python", "guestfish", "lvm2", "xfsprogs", "ntfs-3g", "linux-image-cloud-amd64")
"""Of Debian and Ubuntu. libguestfs boots the machine's kernel, with the machine's tools for file systems."""
_PASSED_ON = ("PATH", "LIBGUESTFS_PATH", "LIBGUESTFS_CACHEDIR", "LIBGUESTFS_BACKEND", "LIBGUESTFS_HV")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where they are."""

    nbdkit: Path
    guestfish: Path


def find_programs() -> Programs:
    """Look on PATH; ProgramError names the packages of what is missing."""
    nbdkit, guestfish = shutil.which("nbdkit"), shutil.which("guestfish")
    if nbdkit is None or guestfish is None:
        missing = [name for name, place in (("nbdkit", nbdkit), ("guestfish", guestfish)) if place is None]
        raise ProgramError(
            f"Files are read out of disks with {' and '.join(missing)}, which this machine lacks", remedy=remedy()
        )
    return Programs(Path(nbdkit), Path(guestfish))


def remedy() -> str:
    """What to install."""
    return f"install {', '.join(PACKAGES)} (Debian's names), or run this where they are"


def environment(folder: Path) -> dict[str, str]:
    """What these programs see: no credentials, nobody's settings, one language, and a folder for what is temporary."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    defaults = {"PATH": os.defpath, "LIBGUESTFS_BACKEND": "direct"}
    if not has_kvm():
        defaults["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    private = {"HOME": str(folder), "LIBGUESTFS_TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    return defaults | passed_on | private


def has_kvm() -> bool:
    """Whether the processor virtualizes and /dev/kvm opens. On some hosts it opens without, and then it hangs."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE) is not None
