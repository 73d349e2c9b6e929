"""KubeVirt's own configuration, as far as the sandbox follows it: feature gates and changed block tracking."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import labels_of

INCREMENTAL_BACKUP = "IncrementalBackup"
UTILITY_VOLUMES = "UtilityVolumes"
INSTALLED: Object = {
    "configuration": {
        "developerConfiguration": {"featureGates": [INCREMENTAL_BACKUP, UTILITY_VOLUMES]},
        "changedBlockTrackingLabelSelectors": {
            "virtualMachineLabelSelector": {"matchLabels": {"changedBlockTracking": "true"}},
            "namespaceLabelSelector": {"matchLabels": {"changedBlockTracking": "true"}},
        },
    }
}
"""The spec with which the sandbox installs KubeVirt: both alpha gates on, and tracking for whoever asks by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Feature gates, and label selectors of the VMs and namespaces whose blocks are tracked (None: of none)."""

    gates: frozenset[str] = frozenset()
    machines: Object | None = None
    namespaces: Object | None = None

    @classmethod
    def of(cls, installed: Objects) -> Configuration:
        """From the KubeVirt object; without one every alpha gate is off."""
        if not installed:
            return cls()
        spec = (installed[0].get("spec") or {}).get("configuration") or {}
        developer = spec.get("developerConfiguration") or {}
        selectors = spec.get("changedBlockTrackingLabelSelectors") or {}
        # A gate that is named in both lists is on.
        return cls(
            gates=frozenset(developer.get("featureGates") or []),
            machines=selectors.get("virtualMachineLabelSelector"),
            namespaces=selectors.get("namespaceLabelSelector"),
        )

    def selects(self, vm: Object, namespace: Object | None) -> bool:
        """True if the VM's labels or those of its namespace ask for changed block tracking."""
        asked = ((self.machines, vm), (self.namespaces, namespace))
        return any(
            selector is not None and obj is not None and matches(selector, labels_of(obj)) for selector, obj in asked
        )


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector selects labels."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _fulfilled(item, labels) for item in selector.get("matchExpressions") or []
    )


def _fulfilled(requirement: Object, labels: dict[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise ValueError(f"a label selector has the operator {operator!r}")
