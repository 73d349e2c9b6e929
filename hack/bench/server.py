"""The one S3 server that all programs write to, and what they leave in it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.objectstore.server import ObjectStore

_BUCKET = "bench"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a repository takes."""

    size_bytes: int
    objects: int

    def __sub__(self, earlier: "Footprint") -> "Footprint":
        return Footprint(self.size_bytes - earlier.size_bytes, self.objects - earlier.objects)


class Server:
    """A bucket of a running SeaweedFS."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._client = store.client(store.admin)
        store.create_bucket(_BUCKET)
        self.pid = store.pid
        self.endpoint_url = store.endpoint_url
        self.bucket = _BUCKET
        self.version = _version()

    def environment(self) -> dict[str, str]:
        """Where S3 clients look for credentials."""
        return {
            "AWS_ACCESS_KEY_ID": self._store.admin.access_key,
            "AWS_SECRET_ACCESS_KEY": self._store.admin.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def footprint(self, prefix: str) -> Footprint:
        """Bytes and number of the objects below a prefix."""
        sizes = [
            found["Size"]
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=f"{prefix}/")
            for found in page.get("Contents", [])
        ]
        return Footprint(sum(sizes), len(sizes))


def _version() -> str:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed"
    return subprocess.run([weed, "version"], capture_output=True, text=True, check=True).stdout.split()[2]


def footprint_of_folder(folder: Path) -> Footprint:
    """The same of a repository in plain files."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Footprint(sum(sizes), len(sizes))
