"""The objects that running a VM makes: the revision of its spec, the instance, and the pod that holds its claims."""

from __future__ import annotations

import copy

from sandbox.cluster.client import Object
from sandbox.cluster.metadata import controller_reference
from sandbox.kubevirt.machines.block_tracking import INITIALIZING
from sandbox.kubevirt.names import CREATED_BY, NODE, VM_FINALIZER, VM_GENERATION, VMI_FOREGROUND_FINALIZER
from sandbox.kubevirt.volumes import claim_names, template_volumes

_GRACE_SECONDS = 30
_LAUNCHER_UID = 107


def revision_of(vm: Object) -> Object:
    """The ControllerRevision that keeps the spec with which an instance was started."""
    return {
        "metadata": {
            "name": revision_name(vm),
            "namespace": vm["metadata"]["namespace"],
            "ownerReferences": [controller_reference(vm)],
        },
        "data": {"spec": copy.deepcopy(vm["spec"])},
        "revision": 1,
    }


def revision_name(vm: Object) -> str:
    """One per generation of the VM."""
    return f"revision-start-vm-{vm['metadata']['uid']}-{vm['metadata']['generation']}"


def instance_of(vm: Object, now: str, *, tracked: bool) -> Object:
    """The VirtualMachineInstance of a VM, in phase Pending. The kind has no status subresource.

    `tracked`: the guest's changed blocks will be.
    """
    template = copy.deepcopy(vm["spec"]["template"])
    metadata = template.get("metadata") or {}
    annotations = (metadata.get("annotations") or {}) | {VM_GENERATION: str(vm["metadata"]["generation"])}
    spec = template["spec"]
    spec["domain"].setdefault("features", {}).setdefault("acpi", {"enabled": True})
    spec["domain"].setdefault("resources", {})
    spec.setdefault("evictionStrategy", "None")
    # An earlier dump stays with the VM, but no new instance has it.
    spec["volumes"] = [volume for volume in spec.get("volumes") or [] if "memoryDump" not in volume]
    return {
        "metadata": {
            "name": vm["metadata"]["name"],
            "namespace": vm["metadata"]["namespace"],
            "labels": metadata.get("labels") or {},
            "annotations": annotations,
            "finalizers": [VM_FINALIZER, VMI_FOREGROUND_FINALIZER],
            "ownerReferences": [controller_reference(vm)],
        },
        "spec": spec,
        "status": {
            "phase": "Pending",
            "phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": now}],
            "guestOSInfo": {},
            "runtimeUser": _LAUNCHER_UID,
            "virtualMachineRevisionName": revision_name(vm),
            **({"changedBlockTracking": {"state": INITIALIZING}} if tracked else {}),
        },
    }


def launcher_of(vmi: Object, state_claim: str | None = None) -> Object:
    """The virt-launcher pod: it runs nothing here, but its claims are in use as long as it exists.

    `state_claim` holds TPM and EFI state, which is none of the instance's volumes.

    It is bound to the sandbox's own node from the start, so that no scheduler and no kubelet takes it.
    """
    name = vmi["metadata"]["name"]
    disks = claim_names(template_volumes({"spec": {"template": {"spec": vmi["spec"]}}}))
    if state_claim:
        disks |= {"vm-state": state_claim}
    return {
        "metadata": {
            "generateName": f"virt-launcher-{name}-",
            "namespace": vmi["metadata"]["namespace"],
            "labels": {
                **(vmi["metadata"].get("labels") or {}),
                "kubevirt.io": "virt-launcher",
                CREATED_BY: vmi["metadata"]["uid"],
                "vm.kubevirt.io/name": name,
                "vmi.kubevirt.io/id": name,
            },
            "annotations": {"kubevirt.io/domain": name},
            "ownerReferences": [controller_reference(vmi)],
        },
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": grace_seconds(vmi) + _GRACE_SECONDS,
            "securityContext": {"runAsUser": _LAUNCHER_UID, "runAsNonRoot": True, "fsGroup": _LAUNCHER_UID},
            "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
            "volumes": [
                {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in disks.items()
            ],
            "containers": [
                {
                    "name": "compute",
                    "image": "sandbox/virt-launcher",
                    "command": ["/usr/bin/virt-launcher-monitor"],
                }
            ],
        },
    }


def grace_seconds(vmi: Object) -> int:
    """How long the guest may take to power off."""
    seconds = vmi["spec"].get("terminationGracePeriodSeconds")
    return _GRACE_SECONDS if seconds is None else int(seconds)
