"""The model of a cluster, with a VM that runs and whose memory KubeVirt dumps."""

from dataclasses import dataclass, field, replace

from tests.plan.backup.holdings import Volume
from tests.plan.backup.world import World

from safehold.plan.backup import steps
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.facts import BackupFacts, Leftovers, MachineFacts
from safehold.plan.backup.memory_facts import (
    MEMORY_VOLUME,
    CreateDumpClaim,
    DumpClaim,
    DumpRequest,
    DumpSnapshot,
    MemoryDumpRef,
    MemoryFacts,
    RemoveMemoryDump,
    RequestMemoryDump,
    SnapshotDumpClaim,
    TenantObject,
)
from safehold.plan.backup.stages import stage_of

_PHASES = {"Associating": "InProgress", "InProgress": "Completed", "Dissociating": ""}
"""What a look later has become of each phase."""


@dataclass
class MemoryWorld(World):
    """Beside the disks: the claim for the dump, KubeVirt's record of it, and its snapshot."""

    claim: str = ""
    request: str = ""
    """The phase; empty: there is no dump."""
    dump: Volume = field(default_factory=lambda: Volume(MEMORY_VOLUME))

    def facts(self) -> BackupFacts:
        """As for any run; before the worker starts, also what there is of the dump."""
        self.volumes = [volume for volume in self.volumes if volume.name != MEMORY_VOLUME]
        if self._is_captured() or self.dump != Volume(MEMORY_VOLUME):
            self.volumes.append(self.dump)
        facts = super().facts()
        return facts if stage_of(self.backup) == "Ending" else replace(facts, memory=self._memory())

    def machine(self) -> MachineFacts:
        """The VM has the dump's claim as a volume, but not as a disk."""
        found = super().machine()
        return replace(found, disks=tuple(disk for disk in found.disks if disk.name != MEMORY_VOLUME))

    def snapshot_facts(self) -> SnapshotFacts | None:
        """The dump is no part of KubeVirt's snapshot; the observer adds it once it was captured."""
        found = super().snapshot_facts()
        if found is None or found.capture is None:
            return found
        disks = {name: claim for name, claim in found.capture.disks.items() if name != MEMORY_VOLUME}
        volumes = [item for item in found.capture.volumes if item.name != MEMORY_VOLUME or self._is_captured()]
        return replace(found, capture=replace(found.capture, disks=disks, volumes=tuple(volumes)))

    def leftovers(self) -> Leftovers:
        """Also what the run made in the VM's namespace."""
        here = {"namespace": "shop", "name": self.claim}
        return replace(
            super().leftovers(),
            memory_dumps=(MemoryDumpRef(namespace="shop", vm="db", claim=self.claim),) if self.request else (),
            tenant_snapshots=(TenantObject(**here, uid="dump-vs"),) if self.dump.snapshot_uid else (),
            tenant_claims=(TenantObject(**here, uid="dump-claim"),) if self.claim else (),
        )

    def carry_out(self, step: steps.Step) -> None:
        """KubeVirt's and our steps with the dump; all others as for any run."""
        match step:
            case CreateDumpClaim(name=name):
                self.claim = name
            case RequestMemoryDump():
                assert not self.frozen, "a dump inside the freeze would make it longer"
                self.request = self.request or "Associating"
            case RemoveMemoryDump():
                self.request = self.request and "Dissociating"
            case SnapshotDumpClaim():
                assert not self.request, "somebody still writes to the claim"
                if self.dump.snapshot_uid is None:
                    self.dump.physical, self.dump.snapshot_uid = True, f"vs-uid-{MEMORY_VOLUME}"
                    self.dump.original = {"policy": "Delete", "labels": {}, "annotations": {}}
            case steps.Delete(kind="VolumeSnapshot", namespace="shop"):
                self._delete_dump_snapshot()
            case steps.Delete(kind="Claim", namespace="shop"):
                assert not self.request, "the VM still has the claim"
                self.claim = ""
            case _:
                super().carry_out(step)

    def delete_snapshot(self) -> None:
        """KubeVirt's snapshot goes; the dump has one of its own."""
        kept = self.dump.snapshot_uid
        disks = self.volumes
        self.volumes = [volume for volume in disks if volume.name != MEMORY_VOLUME]
        super().delete_snapshot()
        self.volumes, self.dump.snapshot_uid = disks, kept

    def look(self) -> None:
        """KubeVirt is one phase further."""
        super().look()
        self.request = _PHASES.get(self.request, self.request)

    def _delete_dump_snapshot(self) -> None:
        self.dump.snapshot_uid = None
        if self.dump.original and self.dump.original["policy"] == "Delete":
            self.dump.original, self.dump.physical = None, False

    def _is_captured(self) -> bool:
        dump = self.backup.status.memory_dump
        return dump is not None and dump.phase == "Captured"

    def _memory(self) -> MemoryFacts:
        request = DumpRequest(claim=self.claim, phase=self.request, file_name="db.memory.dump")
        bound = self.dump.snapshot_uid is not None
        return MemoryFacts(
            guest_bytes=1 << 30,
            locked_by=None,
            request=request if self.request else None,
            attached=bool(self.request),
            claim=DumpClaim(uid="dump-claim", ours=True, deleting=False) if self.claim else None,
            snapshot=DumpSnapshot(bound=True) if bound else None,
        )
