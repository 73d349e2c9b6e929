"""Instance types and preferences as CustomResourceDefinitions: strict where the sandbox expands them."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.definitions import INTEGER, STRING
from sandbox.cluster.kinds import CLUSTER_INSTANCETYPE, CLUSTER_PREFERENCE, INSTANCETYPE, PREFERENCE, Kind
from sandbox.kubevirt.api.crd import definition
from sandbox.kubevirt.api.schemas import OPEN, WORDS

_QUANTITY: Object = {"anyOf": [{"type": "integer"}, STRING], "x-kubernetes-int-or-string": True}
_INSTANCETYPE_SPEC: Object = {
    **OPEN,
    "properties": {
        "annotations": WORDS,
        "cpu": {**OPEN, "properties": {"guest": {**INTEGER, "minimum": 1}}, "required": ["guest"]},
        "memory": {**OPEN, "properties": {"guest": _QUANTITY}, "required": ["guest"]},
    },
    "required": ["cpu", "memory"],
}
_PREFERENCE_SPEC: Object = {
    **OPEN,
    "properties": {
        "cpu": {**OPEN, "properties": {"preferredCPUTopology": STRING}},
        "devices": {**OPEN, "properties": {"preferredDiskBus": STRING}},
        "machine": {**OPEN, "properties": {"preferredMachineType": STRING}},
        "preferredTerminationGracePeriodSeconds": INTEGER,
    },
}


def _plain(kind: Kind, short_names: list[str], spec: Object) -> Object:
    """Neither has a status."""
    return definition(kind, short_names, spec, None, [], subresource=False)


INSTANCETYPE_DEFINITIONS: Objects = [
    _plain(INSTANCETYPE, ["vminstancetype", "vminstancetypes", "vmf", "vmfs"], _INSTANCETYPE_SPEC),
    _plain(
        CLUSTER_INSTANCETYPE,
        ["vmclusterinstancetype", "vmclusterinstancetypes", "vmcf", "vmcfs"],
        _INSTANCETYPE_SPEC,
    ),
    _plain(PREFERENCE, ["vmpref", "vmprefs", "vmp", "vmps"], _PREFERENCE_SPEC),
    _plain(CLUSTER_PREFERENCE, ["vmcp", "vmcps"], _PREFERENCE_SPEC),
]
