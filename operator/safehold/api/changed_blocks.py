"""`changedBlocks`: how a backup may find out what changed in a volume, and how often that answer is checked."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import ApiModel, rules

ChangedBlocksEngine = Literal["CSI", "KubeVirt", "Scan"]

_ONCE_EACH = rules(
    ("self.all(engine, self.exists_one(other, other == engine))", "name each engine once: the order is the preference"),
    (
        "!('KubeVirt' in self) || self[0] == 'KubeVirt'",
        "name KubeVirt first: it is a capture of its own, which takes the place of the snapshot that the others read",
    ),
)
_DEFAULT_ENGINES: list[ChangedBlocksEngine] = ["CSI", "Scan"]
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


class ChangedBlocks(ApiModel):
    """How it is found out what changed in a volume since the VM's last restore point."""

    engines: Annotated[list[ChangedBlocksEngine], Field(min_length=1, max_length=3, json_schema_extra=_ONCE_EACH)] = (
        Field(default_factory=lambda: [*_DEFAULT_ENGINES])
    )
    """What may be used, the first that fits each volume.

    CSI: the storage's own answer (SnapshotMetadata), for Block volumes. KubeVirt: QEMU's, of running VMs. Scan: read
    everything and compare. A volume for which none fits fails the run, so leave Scan out only to forbid full reads.
    """
    verify_every: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,3}[hd])$", max_length=5)] = "7d"
    """How often an answer about changes is compared with a scan of the whole volume, such as 12h or 7d; 0: never."""

    @property
    def verification_interval(self) -> timedelta | None:
        """`verify_every` as a time; None for never."""
        if self.verify_every == "0":
            return None
        return int(self.verify_every[:-1]) * _UNITS[self.verify_every[-1]]
