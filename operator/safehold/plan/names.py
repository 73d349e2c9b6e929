"""Names and labels of everything that Safehold creates.

A name is a function of its owner's uid and of what it is for, so that a step that runs twice finds what it made the
first time. It ends in a digest of the whole identity; the part before that is for people only and is cut to fit.
No child carries a label of its owner's that a GitOps tool tracks objects by.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Literal

from safehold.plan.machine_state import STATE_PREFIX

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER_UID = "safehold.dev/owner-uid"
OWNER_KIND = "safehold.dev/owner-kind"
OWNER_NAMESPACE = "safehold.dev/owner-namespace"
OWNER_NAME = "safehold.dev/owner-name"
VM = "safehold.dev/vm"
VOLUME = "safehold.dev/volume"
POLICY = "safehold.dev/policy"
POLICY_UID = "safehold.dev/policy-uid"
EXCLUDE = "safehold.dev/exclude"
"""Label by which a VM opts out of every policy."""
UNDO_OF = "safehold.dev/undo-of"
"""Label of a volume that a restore replaced and kept: the uid of that VMRestore."""
KEPT_UNTIL = "safehold.dev/kept-until"
"""Annotation of a kept volume and of its safety snapshot: when they are removed, in RFC 3339.

A volume without it stays: the restore that replaced it has not ended well.
"""
ORIGINAL_RECLAIM_POLICY = "safehold.dev/original-reclaim-policy"
"""Annotation of a kept volume: the reclaim policy that it gets back when its time is over."""
RESTORED_BY = "safehold.dev/restored-by"
"""Label of what a restore created in its own namespace: the uid of that VMRestore."""
BASE_OF = "safehold.dev/base-of"
"""Label of a VolumeSnapshotContent of ours that outlived its run: the uid of the VM's claim that was cut."""
VM_UID = "safehold.dev/vm-uid"
ORIGINAL_POLICY = "safehold.dev/original-deletion-policy"
"""On a held content and on our own: the policy to set back. It outlives the VMBackup."""
ORIGINAL_CONTENT = "safehold.dev/original-content"
"""On our own content: the name of the held one."""
GROUP_MARK = "safehold.dev/group"
"""Label of a VM's own claim while a VolumeGroupSnapshot of ours selects it: the uid of the VMBackup."""
VERB = "safehold.dev/verb"
"""Label of a Job that is none of the checks of its target: what it does instead."""
MANAGER = "safehold"
FINALIZER = "safehold.dev/finalizer"
"""On runs while they are active, and on VMBackups whose point goes with them."""

LABEL_LIMIT = 63
"""Longest label value; also longest name of a Job, whose pods carry it as a label."""
_PULL_LIMIT = 45
_DIGEST_LENGTH = 10
"""40 bits: an accidental clash is to be expected among a million siblings that look alike in their readable part."""

Verb = Literal["backup", "restore", "target", "forget", "maintain", "describe"]
"""What a worker Job does (safehold.run)."""


def _digest(*identity: str) -> str:
    # A length before each part keeps ("ab", "c") and ("a", "bc") apart.
    framed = "".join(f"{len(part)}:{part}" for part in identity)
    return hashlib.blake2b(framed.encode(), digest_size=20).hexdigest()[:_DIGEST_LENGTH]


def _readable(text: str, limit: int) -> str:
    """Cut to `limit` characters of a DNS label: lower case, digits and inner dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].rstrip("-")


def _name(readable: str, *identity: str) -> str:
    digest = _digest(*identity)
    return f"{_readable(readable, LABEL_LIMIT - len(digest) - 1)}-{digest}".lstrip("-")


def backup_name(policy_uid: str, vm: str, run_time: datetime, tier: str = "", attempt: int = 1) -> str:
    """Name of the VMBackup of one VM in one run of a policy's tier: `<vm>-<digest>-20261122t140000`, in UTC."""
    moment = run_time.astimezone(UTC).strftime("%Y%m%dt%H%M%S")
    # No tier's name has a space in it.
    further = [f"attempt {attempt}"] if attempt > 1 else []
    digest = _digest(policy_uid, vm, *([tier] if tier else []), *further)
    front = _readable(vm, LABEL_LIMIT - len(moment) - len(digest) - 2)
    return f"{front}-{digest}-{moment}"


def snapshot_name(backup: str, backup_uid: str) -> str:
    """Name of a VMBackup's VirtualMachineSnapshot, in the VM's namespace."""
    return _name(f"safehold-{backup}", "snapshot", backup_uid)


def own_snapshot_name(backup_uid: str, volume: str) -> str:
    """Name of our VolumeSnapshot of one volume, in the VM's namespace, when KubeVirt could not snapshot the VM."""
    return _name(f"safehold-{volume}", "own-snapshot", backup_uid, volume)


def own_group_name(backup: str, backup_uid: str) -> str:
    """Name of our VolumeGroupSnapshot of a VM's volumes, in the VM's namespace."""
    return _name(f"safehold-{backup}", "own-group", backup_uid)


def pull_name(backup: str, backup_uid: str) -> str:
    """Name of a VMBackup's VirtualMachineBackup, and of its scratch claim and token, in the VM's namespace.

    KubeVirt makes names of 63 characters at most of it, with 18 of its own at the end.
    """
    return f"{_readable(f'safehold-{backup}', _PULL_LIMIT - _DIGEST_LENGTH - 1)}-{_digest('pull', backup_uid)}"


def tracker_name(vm: str, vm_uid: str, repository_id: str) -> str:
    """Name of the VirtualMachineBackupTracker of one VM and one repository: each has its own last checkpoint."""
    return _name(f"safehold-{vm}", "tracker", vm_uid, repository_id)


def pair_name(run_uid: str, volume: str) -> str:
    """Name of our VolumeSnapshotContent, and of the VolumeSnapshot in the operator's namespace, for one volume.

    The run is a VMBackup that reads the volume, or a VMRestore that makes a new one from its snapshot.
    """
    return _name(f"safehold-{volume}", "pair", run_uid, volume)


def source_claim_name(backup_uid: str, volume: str) -> str:
    """Name of the claim in the operator's namespace from which a backup's worker reads one volume."""
    return _name(f"safehold-{volume}", "source-claim", backup_uid, volume)


def memory_claim_name(backup: str, backup_uid: str) -> str:
    """Name of the claim in the VM's namespace for a VMBackup's memory dump, and of its VolumeSnapshot."""
    return _name(f"safehold-memory-{backup}", "memory-claim", backup_uid)


def job_name(verb: Verb, owner: str, owner_uid: str, attempt: str = "") -> str:
    """Name of the worker Job for one verb of one owner, and of the Secret with its run.

    `attempt` tells repeated runs of one owner apart, such as the validations of a target.
    """
    return _name(f"safehold-{verb}-{owner}", "job", verb, owner_uid, attempt)


def machine_secret_name(backup: str, backup_uid: str) -> str:
    """Name of the Secret that keeps a VM's manifests between the capture and the start of the worker."""
    return _name(f"safehold-machine-{backup}", "machine", backup_uid)


def prime_claim_name(restore_uid: str, volume: str) -> str:
    """Name of the claim in the operator's namespace into which a restore's worker writes one volume."""
    return _name(f"safehold-{volume}", "prime-claim", restore_uid, volume)


def safety_snapshot_name(restore: str, restore_uid: str) -> str:
    """Name of the VirtualMachineSnapshot that a restore in place takes first, in the VM's namespace."""
    return _name(f"safehold-before-{restore}", "safety-snapshot", restore_uid)


def restored_claim_name(vm: str, volume: str, restore_uid: str) -> str:
    """Name of the claim that holds one volume of a VM that a restore creates."""
    return _name(f"{vm}-{volume}", "restored-claim", restore_uid, volume)


def restored_state_name(vm: str, restore_uid: str) -> str:
    """Name of the claim with the TPM and EFI state of a VM that a restore creates; it begins as KubeVirt's own do."""
    return _name(f"{STATE_PREFIX}-{vm}", "restored-state", restore_uid)


def replaced_objects_name(restore: str, restore_uid: str) -> str:
    """Name of the Secret that keeps what a VMRestore has overwritten, in its namespace."""
    return _name(f"{restore}-replaced", "replaced-objects", restore_uid)


def restored_revision_name(vm: str, revision: str, restore_uid: str) -> str:
    """Name of the ControllerRevision of an instancetype or preference for a VM that a restore creates."""
    return _name(f"{vm}-{revision}", "restored-revision", restore_uid, revision)


def event_name(about: str, uid: str, reason: str, moment: str) -> str:
    """Name of the Event about one transition of one object."""
    return _name(about, "event", uid, reason, moment)


def label_value(text: str) -> str:
    """`text` where it is a valid label value, else a shortened form of it with a digest."""
    if len(text) <= LABEL_LIMIT and re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", text):
        return text
    return f"{_readable(text, LABEL_LIMIT - _DIGEST_LENGTH - 1)}-{_digest('label', text)}".lstrip("-")


def owner_labels(
    kind: str, uid: str, *, name: str, namespace: str | None = None, vm: str | None = None
) -> dict[str, str]:
    """Labels of a child, by which it and its owner find each other across namespaces.

    An ownerReference across namespaces would make the garbage collector delete the child.
    """
    labels = {MANAGED_BY: MANAGER, OWNER_KIND: kind, OWNER_UID: uid, OWNER_NAME: label_value(name)}
    if namespace is not None:
        labels[OWNER_NAMESPACE] = namespace
    if vm is not None:
        labels[VM] = label_value(vm)
    return labels


def vm_label(vm: str) -> dict[str, str]:
    """The label by which everything of a VM is found; a long name is shortened, so compare the name as well."""
    return {VM: label_value(vm)}


def backup_labels(policy_uid: str, policy: str, vm: str) -> dict[str, str]:
    """Labels of a VMBackup that a policy creates."""
    return {MANAGED_BY: MANAGER, POLICY_UID: policy_uid, POLICY: label_value(policy), VM: label_value(vm)}


def children_of(uid: str) -> str:
    """Label selector for everything that the object with this uid created."""
    return f"{MANAGED_BY}={MANAGER},{OWNER_UID}={uid}"
