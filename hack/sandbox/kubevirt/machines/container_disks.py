"""Container disks: what a VM has beside its claims, made anew at each start, in no snapshot.

The sandbox has no registry. It knows the images that it can build, and attaches them as disks that cannot be written
(KubeVirt's can be, and forget it); all others are accepted and not attached.
"""

from __future__ import annotations

from pathlib import Path

from sandbox.cluster.client import Objects
from sandbox.guest.commandline import Disk
from sandbox.guest.postgresql import postgresql_disk

POSTGRESQL = "sandbox.safehold.dev/postgresql:15"
"""PostgreSQL's programs, which a guest finds in its folder /usr."""
_BUILDERS = {POSTGRESQL: postgresql_disk}


def container_disks(volumes: Objects, cache: Path) -> tuple[Disk, ...]:
    """The disks of a VM's container images, built at first use; ImageError where this machine cannot."""
    images = {volume["name"]: volume["containerDisk"]["image"] for volume in volumes if "containerDisk" in volume}
    return tuple(
        Disk(volume=name, path=_BUILDERS[image](cache)) for name, image in images.items() if image in _BUILDERS
    )
