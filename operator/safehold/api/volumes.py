"""`volumes`: which disks of a VM a backup leaves out, and which ones a run has left out."""

from typing import Annotated

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Name, Sentence, Word, rules
from safehold.api.references import LabelSelector

VolumeName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
_SAYS_WHICH = (
    "has(self.names) || has(self.claimSelector)",
    "exclude needs names of volumes, or a claimSelector; without exclude every disk is backed up",
)
_NOT_ALL = (
    (
        "!has(self.claimSelector)"
        " || has(self.claimSelector.matchLabels) && size(self.claimSelector.matchLabels) > 0"
        " || has(self.claimSelector.matchExpressions) && size(self.claimSelector.matchExpressions) > 0"
    ),
    "an empty claimSelector would leave out every disk; name labels, or leave it away",
)


class VolumeExclusion(ApiModel):
    """Disks that are left out: all that one of the fields means."""

    model_config = ConfigDict(json_schema_extra=rules(_SAYS_WHICH, _NOT_ALL))

    names: Annotated[list[VolumeName], Field(min_length=1, max_length=64)] | None = None
    """By the VM's names of its volumes. A VM that has no volume of a name is backed up as it is."""
    claim_selector: LabelSelector | None = None
    """By the labels of their PersistentVolumeClaims."""


class Volumes(ApiModel):
    """Which disks of a VM are backed up."""

    exclude: VolumeExclusion | None = None
    """Disks that are left out, such as scratch space; those too that the VM's own annotation
    `safehold.dev/exclude-volumes` names, separated by commas."""


class ExcludedVolume(ApiModel):
    """A disk of the VM that the restore point does not hold."""

    name: Word
    """The VM's name of the volume."""
    claim_name: Name | None = None
    """Its PersistentVolumeClaim."""
    reason: Sentence
    """What left it out."""
