"""Debian packages that are unpacked for the guest and never installed on the host."""

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

from sandbox.guest.errors import ImageError

AGENT = "qemu-guest-agent"
KERNEL = "linux-image-cloud-amd64"
"""A metapackage: the kernel proper, with the ABI number in its name, is what it depends on."""

_log = logging.getLogger(__name__)
_APT_SECONDS = 300
_LIBRARY = re.compile(r"(?:lib[a-z0-9.+-]+|zlib1g)")


def guest_packages() -> dict[str, str]:
    """Name and version of the kernel and agent packages that apt would download now.

    Refreshes apt's lists once if they are empty, which only root can do.
    """
    names = _resolved()
    if names is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _log.info("apt has no package lists yet: fetching them")
        _run("apt-get", "update", "-qq")
        names = _resolved()
    if names is None:
        raise ImageError(
            f"apt does not know the packages {KERNEL} and {AGENT}, which the guests are made of. "
            "Run `apt-get update` as root on Debian, or start the sandbox with --no-qemu."
        )
    return names


def with_libraries(*packages: str, without: frozenset[str]) -> dict[str, str]:
    """Name and version of packages and of all libraries that they need, as apt would download them now.

    `without` names libraries that are not wanted; what only they need is left out as well.
    """
    found: dict[str, str] = {}
    wanted = set(packages)
    while wanted:
        needed: set[str] = set()
        for fields in _shown(wanted):
            found[fields["Package"]] = fields["Version"]
            needed |= _libraries(fields.get("Depends", ""))
        if unknown := wanted - found.keys():
            names = ", ".join(sorted(unknown))
            raise ImageError(f"apt does not know {names}: run `apt-get update` as root on Debian 12")
        wanted = needed - found.keys() - without
    return found


def unpack(packages: dict[str, str], folder: Path) -> None:
    """Downloads the packages and unpacks them into one tree at `folder`."""
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    _log.info("downloading %s", ", ".join(packages))
    # -q and a download folder of our own: works without root, and leaves the host's package database alone.
    _run("apt-get", "download", "-qq", *(f"{name}={version}" for name, version in packages.items()), cwd=archives)
    for archive in archives.glob("*.deb"):
        _run("dpkg-deb", "-x", str(archive), str(folder))
    shutil.rmtree(archives)


def _resolved() -> dict[str, str] | None:
    if not shutil.which("apt-cache"):
        return None
    kernel = [
        line.split()[1]
        for line in _run("apt-cache", "depends", KERNEL, check=False).splitlines()
        if line.strip().startswith("Depends: linux-image")
    ]
    versions = {name: _candidate(name) for name in [*kernel, AGENT]}
    return (
        {name: version for name, version in versions.items() if version} if kernel and all(versions.values()) else None
    )


def _candidate(name: str) -> str:
    lines = _run("apt-cache", "policy", name, check=False).splitlines()
    found = [line.split()[1] for line in lines if line.strip().startswith("Candidate:")]
    return found[0] if found and found[0] != "(none)" else ""


def _shown(names: set[str]) -> list[dict[str, str]]:
    """The fields of each package's candidate, as apt shows them."""
    shown = _run("apt-cache", "show", "--no-all-versions", *sorted(names), check=False)
    return [_fields(paragraph) for paragraph in shown.split("\n\n") if paragraph.strip()]


def _fields(paragraph: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in paragraph.splitlines() if not line.startswith(" "))
    return {name: value for name, _, value in pairs}


def _libraries(depends: str) -> set[str]:
    """The libraries in a field Depends; of alternatives the first."""
    names = (re.split(r"[ :|]", clause.strip(), maxsplit=1)[0] for clause in depends.split(","))
    return {name for name in names if _LIBRARY.fullmatch(name)}


def _run(*command: str, cwd: Path | None = None, check: bool = True) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_APT_SECONDS,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    if check and done.returncode != 0:
        raise ImageError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-400:]}")
    return done.stdout
