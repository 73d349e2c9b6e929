"""What a restore changes on its way from the point to the cluster."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import MAX_VOLUMES, ApiModel, Name, Word, list_map, rules
from safehold.api.references import LabelValue

IdentityChoice = Literal["Regenerate", "Keep"]
PatchedKind = Literal[
    "VirtualMachine",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "ControllerRevision",
    "VirtualMachineInstancetype",
    "VirtualMachinePreference",
    "NetworkAttachmentDefinition",
]
MAX_MAPPINGS = 64
MAX_PATCHES = 16
MAX_LABELS = 32

OPTION_RULES = (
    (
        "!has(self.mappings) || self.target.mode != 'InPlace'",
        "mappings do not go with mode InPlace: the VM keeps its networks, and its volumes their classes",
    ),
    (
        "!has(self.mappings) || !has(self.mappings.networks) || self.target.mode == 'NewVM'",
        "mappings.networks goes with mode NewVM: nothing else has networks",
    ),
    (
        "!has(self.identity) || self.target.mode == 'NewVM'",
        "identity goes with mode NewVM: in place the VM keeps its definition",
    ),
    (
        "!has(self.labels) || self.target.mode != 'InPlace'",
        "labels do not go with mode InPlace: the VM keeps its definition",
    ),
    (
        "!has(self.patches) || self.target.mode == 'NewVM'",
        "patches goes with mode NewVM: in place the VM keeps its definition",
    ),
    (
        "!has(self.patches) || has(self.serviceAccountName)",
        "patches needs serviceAccountName: what they make of the objects is created with its rights",
    ),
)
"""Of the spec of a VMRestore: which options exclude which modes."""


class Mapping(ApiModel):
    """One name and what stands in its place."""

    before: Annotated[str, Field(alias="from", min_length=1, max_length=317)]
    """The name in the restore point."""
    after: Annotated[str, Field(alias="to", min_length=1, max_length=317)]
    """The name in this cluster."""


NameMappings = Annotated[list[Mapping], Field(max_length=MAX_MAPPINGS, json_schema_extra=list_map("from"))]


class Mappings(ApiModel):
    """Names that are called otherwise here. What no mapping names stays as it is."""

    storage_classes: NameMappings = Field(default_factory=list)
    """StorageClasses of the volumes."""
    networks: NameMappings = Field(default_factory=list)
    """NetworkAttachmentDefinitions of the VM, as `name` or `namespace/name`. What is mapped is not restored itself."""


class Identity(ApiModel):
    """By what others tell the VM from its original. Absent: kept under its old name and namespace, else regenerated."""

    mac_addresses: IdentityChoice | None = None
    """MAC addresses that the VM's definition states."""
    firmware: IdentityChoice | None = None
    """The firmware's uuid and serial number."""


class PatchTarget(ApiModel):
    """Which of the restored objects a patch is for."""

    kind: PatchedKind
    """Their kind."""
    name: Name | None = None
    """The name that the restored object gets; absent: all of the kind."""


class RestorePatch(ApiModel):
    """Operations on restored objects, before they are created."""

    target: PatchTarget
    """The objects."""
    patch: Annotated[str, Field(min_length=2, max_length=16384)]
    """The operations of RFC 6902 as a JSON array. Kind, name and namespace cannot be changed."""


RestorePatches = Annotated[list[RestorePatch], Field(max_length=MAX_PATCHES)]
RestoreLabels = Annotated[
    dict[str, LabelValue],
    Field(
        max_length=MAX_LABELS,
        json_schema_extra=rules(
            ("self.all(key, !key.startsWith('safehold.dev/'))", "labels of safehold.dev are the operator's own"),
        ),
    ),
]
ChosenVolumes = Annotated[
    list[Word],
    Field(min_length=1, max_length=MAX_VOLUMES, json_schema_extra={"x-kubernetes-list-type": "set"}),
]
