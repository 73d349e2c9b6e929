"""Programs out of Debian packages, downloaded by apt and unpacked, never installed."""

import shutil
import subprocess
from pathlib import Path

from bench.measure import BenchError

_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack(folder: Path, packages: list[str], suite: str | None = None) -> Path:
    """The folder with the packages' files; with `suite`, from that suite of Debian rather than the machine's own.

    A folder that is there already is taken as it is. The machine's package lists and sources are left alone.
    """
    root = folder / "root"
    if root.exists():
        return root
    if shutil.which("apt-get") is None:
        raise BenchError(f"{packages[0]} is missing, and there is no apt-get to fetch it with")
    options = _own_lists(folder, suite) if suite else []
    _apt([*options, "download", *packages], folder)
    fresh = folder / "fresh"
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, fresh], check=True)
        package.unlink()
    return fresh.rename(root)


def _own_lists(folder: Path, suite: str) -> list[str]:
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    options = [option for name, value in settings.items() for option in ("-o", f"{name}={value}")]
    _apt([*options, "update"], folder)
    return options


def _apt(arguments: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Downloads go to a folder of ours, which apt's own user cannot see.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", *arguments]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"apt-get {arguments[-1]} failed: {done.stderr.strip().splitlines()[-1:]}")
