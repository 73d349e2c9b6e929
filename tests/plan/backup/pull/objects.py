"""A VMBackup that names KubeVirt first, and what there is of VM db, its guest, and KubeVirt's backup of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.plan.backup.objects import RULES, START, new_backup, target

from safehold.api import VMBackup
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.facts import BackupFacts, DiskFacts, MachineFacts
from safehold.plan.backup.pull.facts import InstanceFacts, PullBackupFacts, PullFacts, ServedDisk, TrackerFacts
from safehold.plan.backup.reconcile import next_step
from safehold.plan.backup.run import Decision

DISKS = ("data", "logs")
CHECKPOINT = "2026-11-22_14-00-00"


def pulling(*engines: str, **spec: Any) -> VMBackup:
    """As a person creates it."""
    wanted = {"changed_blocks": {"engines": list(engines or ("KubeVirt", "Scan"))}, **spec}
    backup = new_backup()
    return backup.model_copy(
        update={"spec": type(backup.spec).model_validate({**backup.spec.model_dump(by_alias=False), **wanted})}
    )


def claim(name: str, **changes: Any) -> ClaimFacts:
    """A claim of the VM."""
    facts = ClaimFacts(
        name=f"vm-{name}",
        uid=f"claim-{name}",
        mode="Block",
        capacity_bytes=1 << 30,
        storage_class="fast",
        access_modes=("ReadWriteOnce",),
        driver="csi.example",
        volume_handle=f"handle-{name}",
    )
    return replace(facts, **changes)


MACHINE = MachineFacts(
    name="db",
    uid="vm-uid",
    disks=tuple(DiskFacts(name=name, claim=f"vm-{name}", snapshottable=True) for name in DISKS),
)
INSTANCE = InstanceFacts(uid="instance", running=True, tracking="Enabled")
TRACKER = TrackerFacts(
    name="tracker",
    uid="tracker-uid",
    vm="db",
    latest="earlier-checkpoint",
    latest_disks=("data", "logs"),
    redefining=False,
    committed="earlier-checkpoint",
    committed_instance="instance",
)
READY = PullFacts(
    enabled=True,
    served=True,
    instance=INSTANCE,
    claims={"data": claim("data"), "logs": claim("logs")},
    tracker=TRACKER,
)


def served(name: str, **changes: Any) -> PullBackupFacts:
    """KubeVirt's backup, incremental, and ready to be read."""
    facts = PullBackupFacts(
        name=name,
        uid="pull-uid",
        owner_uid="backup-uid",
        created=START + timedelta(seconds=1),
        deleting=False,
        state="Ready",
        message="",
        incremental=True,
        checkpoint=f"{name}-{CHECKPOINT}",
        disks=("data", "logs"),
        taken_at=START + timedelta(seconds=3),
        quiesced=True,
        quiesce_word="QuiesceSucceeded",
        quiesce_message="",
        served={disk: ServedDisk(map_url=f"https://{disk}/map", data_url=f"https://{disk}/data") for disk in DISKS},
        ca="PEM",
    )
    return replace(facts, **changes)


def facts(pull: PullFacts = READY, **changes: Any) -> BackupFacts:
    """What is observed."""
    common: dict[str, Any] = {
        "namespace_uid": "ns-uid",
        "namespace_ending": False,
        "target": target(),
        "machine": MACHINE,
        "machine_captured": True,
        "pull": pull,
    }
    return BackupFacts(**{**common, **changes})


def decide(backup: VMBackup, observed: BackupFacts, later: timedelta = timedelta()) -> Decision:
    """One decision."""
    return next_step(backup, observed, RULES, START + later)


def after(backup: VMBackup, decision: Decision) -> VMBackup:
    """The backup once the decision's status was applied."""
    return backup.model_copy(update={"status": decision.status})


def begun(*engines: str) -> VMBackup:
    """A run that has asked KubeVirt for its backup."""
    backup = pulling(*engines)
    for _ in range(2):
        backup = after(backup, decide(backup, facts()))
    return backup


def name_of(backup: VMBackup) -> str:
    """The VirtualMachineBackup that the run has asked for."""
    assert backup.status.pull is not None
    assert backup.status.pull.name is not None
    return backup.status.pull.name
