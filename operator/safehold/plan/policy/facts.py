"""What a policy's decisions depend on, and what they are made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.api.policy import BackupPolicy, BackupPolicyStatus, ClusterBackupPolicy
from safehold.api.timing import DelayedMachine
from safehold.api.vmbackup import VMBackup
from safehold.plan.names import POLICY, POLICY_UID, backup_labels, backup_name, label_value
from safehold.plan.refusal import Refusal

AnyPolicy = BackupPolicy | ClusterBackupPolicy

RUN = "safehold.dev/run"
"""Label of a VMBackup that a policy creates: the run time, so that one run's backups are found without all others."""
TIER = "safehold.dev/tier"
"""Label of a VMBackup that one of `spec.schedules` creates: the tier's name."""
POLICY_KIND = "safehold.dev/policy-kind"
"""Label of a VMBackup that a policy creates: the policy's kind, since policies of two kinds may have one name."""
ATTEMPT = "safehold.dev/attempt"
"""Label of a VMBackup that is a further try of a VM in its run: the number of the try, from 2 on."""
PROBE = "safehold.dev/probe"
"""Label of a VMBackup that the circuit breaker let through after a delay: it is not tried again in its run."""
RUN_NOW = "safehold.dev/run-now"
"""Annotation of a policy: another value than before asks for a run at once."""
_RUN_FORMAT = "%Y%m%dt%H%M%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedVM:
    """A VirtualMachine that the policy's selectors match."""

    namespace: str
    name: str
    uid: str
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBackup:
    """A VMBackup that the policy created. `run`, `tier` and `attempt` are the values of its labels."""

    namespace: str
    vm: str
    run: str
    tier: str = ""
    attempt: int = 1
    probe: bool = False
    """Whether the circuit breaker let it through after a delay: such a one is not tried again in its run."""
    finished: bool
    succeeded: bool
    cleaned_up: bool = True
    """Whether nothing of it is left in the cluster."""
    reason: str = ""
    """Why it failed."""
    ended: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackup:
    """A VMBackup to create, if its name is free."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def vm(self) -> str:
        """The VM that it is of."""
        return str(self.spec["vm"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What the decision depends on."""

    vms: tuple[SelectedVM, ...]
    excluded: int = 0
    """VMs that the selectors match as well, but that opted out."""
    backups: tuple[PolicyBackup, ...]
    """Those of the last runs, and all of the VMs in `with_history`."""
    with_history: frozenset[str] = frozenset()
    """uids of the VMs that are due."""
    target: Refusal | None
    """Why no namespace of the policy can use the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecision:
    """What to create first, and the status to apply then: a start counts once its VMBackup exists."""

    status: BackupPolicyStatus
    create: tuple[NewBackup, ...] = ()
    again: timedelta | None = None
    skipped: tuple[str, ...] = field(default=())
    """VMs whose earlier backup is still active."""
    missed: tuple[str, ...] = ()
    """VMs whose backup can no longer start within the deadline."""
    retried: tuple[str, ...] = ()
    """VMs whose failed backup is tried again now."""
    delayed: tuple[DelayedMachine, ...] = ()
    """VMs that repeated failures hold back from now on."""


def run_label(run: datetime) -> str:
    """The RUN label of a run time."""
    return run.astimezone(UTC).strftime(_RUN_FORMAT)


def run_time(label: str) -> datetime | None:
    """The run time that a RUN label says; None where it says none."""
    try:
        return datetime.strptime(label, _RUN_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def final_attempts(backups: Iterable[PolicyBackup]) -> list[PolicyBackup]:
    """Of each VM, tier and run the last try, which alone says how the run went for the VM; in the order of the runs."""
    final: dict[tuple[str, str, str, str], PolicyBackup] = {}
    for backup in sorted(backups, key=lambda backup: (backup.run, backup.attempt)):
        final[backup.namespace, backup.vm, backup.tier, backup.run] = backup
    return list(final.values())


def is_of(backup: PolicyBackup, vm: SelectedVM) -> bool:
    """Whether the backup may be this VM's: one that ended before its creation is of an earlier VM of its name."""
    same = (backup.namespace, backup.vm) == (vm.namespace, vm.name)
    return same and (vm.created is None or backup.ended is None or backup.ended >= vm.created)


def last_runs(status: BackupPolicyStatus) -> frozenset[str]:
    """RUN labels of the policy's last run, and of the last one of each tier."""
    times = [status.last_schedule_time, *(tier.last_schedule_time for tier in status.tiers)]
    return frozenset(run_label(time) for time in times if time is not None)


def called(policy: AnyPolicy, namespace: str, vm: str) -> str:
    """How the policy's status names a VM."""
    return vm if policy.metadata.namespace else f"{namespace}/{vm}"


def attempt_of(labels: Mapping[str, str]) -> int:
    """Which try a VMBackup with these labels is."""
    written = labels.get(ATTEMPT, "")
    return int(written) if written.isascii() and written.isdigit() else 1


def is_made_by(policy_uid: str, *, name: str, vm: str, labels: Mapping[str, str]) -> bool:
    """Whether a VMBackup is the policy's: labels are copied easily, but its name is made from them."""
    run = run_time(labels.get(RUN, ""))
    return run is not None and name == backup_name(policy_uid, vm, run, labels.get(TIER, ""), attempt_of(labels))


def policy_name(kind: str, name: str) -> str:
    """Under which a policy that is created anew takes the points of the earlier one over: `BackupPolicy/gold`."""
    return f"{kind}/{label_value(name)}"


def policy_name_of(backup: VMBackup) -> str:
    """The same of the policy that made the VMBackup; empty where a person did, or an earlier release."""
    labels = backup.metadata.labels
    known = policy_of(backup) is not None and POLICY_KIND in labels
    return policy_name(labels[POLICY_KIND], labels.get(POLICY, "")) if known else ""


def policy_of(backup: VMBackup) -> str | None:
    """Uid of the policy that made the VMBackup; None where a person did."""
    metadata = backup.metadata
    uid = metadata.labels.get(POLICY_UID, "")
    made = is_made_by(uid, name=metadata.name, vm=backup.spec.vm.name, labels=metadata.labels)
    return uid if made else None


def new_backup(
    policy: AnyPolicy, vm: SelectedVM, run: datetime, tier: str, *, attempt: int = 1, probe: bool = False
) -> NewBackup:
    """The VMBackup of one VM in one run: the policy's spec, and labels that lead back to it."""
    metadata, spec = policy.metadata, policy.spec
    labels = {**backup_labels(metadata.uid, metadata.name, vm.name), POLICY_KIND: policy.kind, RUN: run_label(run)}
    labels |= {TIER: tier} if tier else {}
    labels |= {ATTEMPT: str(attempt)} if attempt > 1 else {}
    labels |= {PROBE: "true"} if probe else {}
    return NewBackup(
        namespace=vm.namespace,
        name=backup_name(metadata.uid, vm.name, run, tier, attempt),
        labels=labels,
        spec={
            "vm": {"name": vm.name},
            "targetRef": spec.target_ref.to_wire(),
            "consistency": spec.consistency.to_wire(),
            **({"volumes": spec.volumes.to_wire()} if spec.volumes.exclude else {}),
            **({"memoryDump": True} if spec.memory_dump else {}),
            "changedBlocks": spec.changed_blocks.to_wire(),
            "hooks": spec.hooks.to_wire(),
            "deletionPolicy": spec.deletion_policy,
        },
    )
