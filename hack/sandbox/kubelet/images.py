"""Images: which command of this machine an image reference stands for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """What a real image would carry: its name, ENTRYPOINT, USER, and the host paths that are its content."""

    name: str
    entrypoint: tuple[str, ...] = ()
    uid: int = 0
    exposed: tuple[Path, ...] = ()

    @property
    def search_path(self) -> str:
        """The image's PATH: the folder of its entry point first."""
        folder = str(Path(self.entrypoint[0]).parent) if self.entrypoint else ""
        return f"{folder}:{_STANDARD_PATH}" if folder.startswith("/") else _STANDARD_PATH


def parse_image(text: str, exposed: Iterable[Path] = ()) -> Image:
    """Reads `NAME[@UID]=COMMAND`, for instance `safehold@65532=/venv/bin/python -m safehold`."""
    reference, separator, command = text.partition("=")
    name, _, uid = reference.partition("@")
    if not separator or not name or (uid and not uid.isdecimal()):
        raise ValueError(f"{text!r} is not of the form NAME[@UID]=COMMAND")
    return Image(name, tuple(shlex.split(command)), int(uid or 0), tuple(exposed))


def find_image(reference: str, images: Iterable[Image]) -> Image | None:
    """The image of that full name, or of that repository's last part: `ghcr.io/x/safehold:1.0` is `safehold`."""
    repository = reference.partition("@")[0]
    short = repository.rpartition("/")[2].partition(":")[0]
    for image in images:
        if image.name in (reference, repository, short):
            return image
    return None


def python_paths() -> tuple[Path, ...]:
    """What a container needs to run this interpreter with the packages and sources that it sees."""
    found: list[Path] = []
    for entry in (sys.prefix, sys.base_prefix, *sys.path):
        path = Path(entry).resolve() if entry else None
        if path and path.is_dir() and not any(path.is_relative_to(known) for known in (Path("/usr"), *found)):
            found.append(path)
    return tuple(found)
