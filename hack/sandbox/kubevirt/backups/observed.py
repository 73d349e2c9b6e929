"""What the planner of backups knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import is_deleting
from sandbox.kubevirt.conditions import condition_of, is_true
from sandbox.kubevirt.durations import parse_duration
from sandbox.kubevirt.machines.lifecycle import phase_of
from sandbox.kubevirt.volumes import claim_names

DEFAULT_TTL_SECONDS = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One moment of a backup; an object that does not exist is None. `claim` is that of spec.pvcName."""

    backup: Object
    tracker: Object | None = None
    vm: Object | None = None
    vmi: Object | None = None
    claim: Object | None = None
    export: Object | None = None

    @property
    def name(self) -> str:
        """The backup's."""
        return str(self.backup["metadata"]["name"])

    @property
    def status(self) -> Object:
        """The backup's, empty before the first write."""
        return self.backup.get("status") or {}

    @property
    def by_tracker(self) -> bool:
        """True if the source is a tracker, False if it is a VM."""
        return bool(self.backup["spec"]["source"]["kind"] == "VirtualMachineBackupTracker")

    @property
    def machine_name(self) -> str | None:
        """The VM's, None while its tracker does not exist."""
        if not self.by_tracker:
            return str(self.backup["spec"]["source"]["name"])
        return str(self.tracker["spec"]["source"]["name"]) if self.tracker else None

    @property
    def pull(self) -> bool:
        """True in mode Pull; the default is Push."""
        return bool(self.backup["spec"].get("mode") == "Pull")

    @property
    def done(self) -> bool:
        """True after success and failure."""
        return is_true(self.backup, "Complete") or is_true(self.backup, "Failed")

    @property
    def progress(self) -> str:
        """The reason of Progressing, empty before it is set."""
        return str((condition_of(self.backup, "Progressing") or {}).get("reason") or "")

    @property
    def initializing(self) -> bool:
        """True until the job has started."""
        return self.progress in ("", "Initializing")

    @property
    def deleting(self) -> bool:
        """True once somebody deleted the backup."""
        return is_deleting(self.backup)

    @property
    def runs(self) -> bool:
        """True while the guest runs and stays."""
        return self.vmi is not None and phase_of(self.vmi) == "Running" and not is_deleting(self.vmi)

    @property
    def has_volumes(self) -> bool:
        """True if the instance has a volume that can be backed up: one on a claim."""
        return self.vmi is not None and bool(claim_names(self.vmi["spec"].get("volumes") or []))

    @property
    def job(self) -> Object | None:
        """The instance's mirror of the job that runs, of whichever backup."""
        tracking = ((self.vmi or {}).get("status") or {}).get("changedBlockTracking") or {}
        found = tracking.get("backupStatus")
        return dict(found) if found else None

    @property
    def utility_volume(self) -> str:
        """The name under which the target claim is plugged into the guest."""
        return f"{self.name}-backup-target-pvc"

    @property
    def attachment(self) -> str | None:
        """The phase of the plugged claim in the instance's status; None once it is gone."""
        statuses: Objects = ((self.vmi or {}).get("status") or {}).get("volumeStatus") or []
        return next((str(item.get("phase")) for item in statuses if item["name"] == self.utility_volume), None)

    @property
    def attached(self) -> bool:
        """True while the instance's spec asks for the claim."""
        wanted = (self.vmi or {}).get("spec", {}).get("utilityVolumes") or []
        return any(item["name"] == self.utility_volume for item in wanted)

    @property
    def base(self) -> str | None:
        """The checkpoint to build on: the tracker's latest, unless a full backup is asked for."""
        if self.backup["spec"].get("forceFullBackup") or self.tracker is None:
            return None
        latest = (self.tracker.get("status") or {}).get("latestCheckpoint") or {}
        return latest.get("name") or None

    def expires(self) -> datetime:
        """When a pull is ended by its ttlDuration."""
        text = self.backup["spec"].get("ttlDuration")
        seconds = parse_duration(text) if text else DEFAULT_TTL_SECONDS
        return datetime.fromisoformat(self.backup["metadata"]["creationTimestamp"]) + timedelta(seconds=seconds)
