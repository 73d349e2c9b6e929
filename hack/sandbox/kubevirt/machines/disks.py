"""Where volumes lie: the files and folders behind the PersistentVolumes of claims, and the guest's disks in them."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.cluster.client import Object
from sandbox.cluster.quantity import parse_quantity
from sandbox.csi.driver import volume_path
from sandbox.csi.names import DRIVERS
from sandbox.guest.commandline import Disk
from sandbox.guest.errors import GuestError

DISK_IMAGE = "disk.img"


def disk_of(volume: str, claim: Object, persistent_volume: Object | None, root: Path) -> Disk:
    """The disk of one volume: the raw file (Block), or disk.img in the folder (Filesystem), made if it is not there.

    `root` is the folder of the sandbox's CSI driver. An image that KubeVirt makes is smaller by the file system's
    overhead; the sandbox's folders have none, so it gets the claim's whole size.
    """
    path = backing_path(volume, claim, persistent_volume, root)
    if path.is_file():
        return Disk(volume=volume, path=path)
    image = path / DISK_IMAGE
    if not image.exists():
        image.touch()
        os.truncate(image, parse_quantity(claim["status"]["capacity"]["storage"]))
    return Disk(volume=volume, path=image)


def backing_path(volume: str, claim: Object, persistent_volume: Object | None, root: Path) -> Path:
    """The raw file (Block) or the folder (Filesystem) behind a claim; GuestError if there is none."""
    name = claim["metadata"]["name"]
    source = ((persistent_volume or {}).get("spec") or {}).get("csi") or {}
    if source.get("driver") not in DRIVERS:
        raise GuestError(f"volume {volume}: claim {name} is not on a volume of the sandbox's CSI driver")
    path = volume_path(root, source["volumeHandle"])
    if claim["spec"].get("volumeMode") == "Block":
        if not path.is_file():
            raise GuestError(f"volume {volume}: the file {path} behind claim {name} is gone")
        return path
    if not path.is_dir():
        raise GuestError(f"volume {volume}: the folder {path} behind claim {name} is gone")
    return path
