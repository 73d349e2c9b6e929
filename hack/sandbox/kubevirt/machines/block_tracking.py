"""status.changedBlockTracking of VMs and instances.

Recorded: Initializing and Enabled. After KubeVirt's documentation: the other states. KubeVirt keeps the bitmaps in
overlays on a claim of the VM's, so that they outlive the guest; here they live in QEMU and end with it.
"""

from __future__ import annotations

from sandbox.cluster.client import Object
from sandbox.kubevirt.configuration import INCREMENTAL_BACKUP, Configuration

INITIALIZING, ENABLED, DISABLED, PENDING_RESTART = "Initializing", "Enabled", "Disabled", "PendingRestart"
GATE_DISABLED = "IncrementalBackupFeatureGateDisabled"


def tracking_state(obj: Object | None) -> str:
    """The state in the status of a VM or an instance, empty if there is none."""
    return str((((obj or {}).get("status") or {}).get("changedBlockTracking") or {}).get("state") or "")


def starts_tracked(configuration: Configuration, *, selected: bool) -> bool:
    """Whether a guest that starts now has its blocks tracked."""
    return selected and INCREMENTAL_BACKUP in configuration.gates


def machine_state(vm: Object, vmi: Object | None, configuration: Configuration, *, selected: bool) -> str:
    """The VM's state, empty for one that never had any: labels count at the next start of a guest."""
    before, running = tracking_state(vm), tracking_state(vmi)
    if selected and INCREMENTAL_BACKUP not in configuration.gates:
        return GATE_DISABLED
    if selected:
        if vmi is None:
            return before if before == ENABLED else ""
        return running or PENDING_RESTART
    if vmi is not None and running:
        return PENDING_RESTART
    return DISABLED if before else ""


def with_tracking(status: Object, state: str) -> Object:
    """The VM's status with that state."""
    rest = {field: value for field, value in status.items() if field != "changedBlockTracking"}
    return rest | ({"changedBlockTracking": {"state": state}} if state else {})
