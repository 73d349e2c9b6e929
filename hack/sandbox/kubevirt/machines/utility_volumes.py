"""Claims that are plugged into a running instance: disks, and those for a backup or a memory dump, each through a pod.

One phase at a look, in the recorded order: the pod is made (AttachedToNode), it runs (MountedToPod), the spec no
longer asks for the volume (UnMountedFromPod), the pod is deleted, and the entry is gone.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.cluster.client import Cluster, Object, Objects, timestamp
from sandbox.cluster.informer import key_of
from sandbox.cluster.kinds import POD
from sandbox.cluster.metadata import controller_reference, controller_uid, is_deleting, labels_of
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.first_consumer import select_node
from sandbox.kubevirt.machines.memory_dumps import memory_dump_claims
from sandbox.kubevirt.machines.vmi_status import claim_info
from sandbox.kubevirt.names import MACHINE_COMPONENT, NODE

_ATTACHED, MOUNTED, _UNMOUNTED = "AttachedToNode", "MountedToPod", "UnMountedFromPod"
READY = "Ready"
"""Of a disk that is in the guest."""


class UtilityVolumes:
    """Plugs and unplugs on the sandbox's node, where no kubelet runs the pods."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def statuses(self, vmi: Object, launcher: Object, disks: Mapping[str, str]) -> Objects:
        """The entries of status.volumeStatus after one step with each volume. `disks` are volume → claim."""
        before = {
            item["name"]: item
            for item in (vmi.get("status") or {}).get("volumeStatus") or []
            if "hotplugVolume" in item
        }
        wanted = {item["name"]: item["claimName"] for item in vmi["spec"].get("utilityVolumes") or []}
        wanted |= {**memory_dump_claims(vmi), **disks}
        found = [await self._plugged(vmi, launcher, name, claim, before.get(name)) for name, claim in wanted.items()]
        found += [await self._unplugged(vmi, item) for name, item in before.items() if name not in wanted]
        return [item for item in found if item is not None]

    async def _plugged(
        self, vmi: Object, launcher: Object, name: str, claim_name: str, before: Object | None
    ) -> Object | None:
        claim = self._caches.claims.get(claim_name, key_of(vmi)[0])
        if claim is None:
            return before
        if (claim.get("status") or {}).get("phase") != "Bound":
            await select_node(self._cluster, self._caches, claim)
            return _status(name, claim, "Pending", "PVCNotReady", "PVC is in phase Pending", {})
        if before is None or "attachPodName" not in before["hotplugVolume"]:
            pod = await self._attach(vmi, launcher, name, claim_name)
            message = f"Created hotplug attachment pod {pod['metadata']['name']}, for volume {name}"
            await self._event(vmi, "SuccessfulCreate", message)
            plugged = {"attachPodName": pod["metadata"]["name"]}
            return _status(name, claim, _ATTACHED, "SuccessfulCreate", message, plugged)
        pod_name = before["hotplugVolume"]["attachPodName"]
        running = await self._cluster.get(POD, pod_name, key_of(vmi)[0])
        if running is None or is_deleting(running):
            return _status(name, claim, "Bound", "PVCNotReady", "PVC is in phase Bound", {})
        await self._run(running)
        plugged = {"attachPodName": pod_name, "attachPodUID": running["metadata"]["uid"]}
        message = f"Volume {name} has been mounted in virt-launcher pod"
        return _status(name, claim, MOUNTED, "VolumeMountedToPod", message, plugged)

    async def _unplugged(self, vmi: Object, before: Object) -> Object | None:
        if before["phase"] in (MOUNTED, READY) or (before.get("memoryDumpVolume") and before["phase"] != _UNMOUNTED):
            return {**before, "phase": _UNMOUNTED, "reason": "VolumeUnMountedFromPod"}
        pod_name = before["hotplugVolume"].get("attachPodName")
        if pod_name:
            await self._cluster.delete(POD, pod_name, key_of(vmi)[0], grace_seconds=0)
            await self._event(vmi, "SuccessfulDelete", f"Deleted attachment pod {pod_name}")
        return None

    async def _attach(self, vmi: Object, launcher: Object, name: str, claim_name: str) -> Object:
        """The attachment pod, found again if the write after its creation was lost."""
        for pod in await self._cluster.list(POD, key_of(vmi)[0], labels="kubevirt.io=hotplug-disk"):
            held = {item["name"] for item in pod["spec"].get("volumes") or []}
            if controller_uid(pod) == launcher["metadata"]["uid"] and name in held and not is_deleting(pod):
                return pod
        return await self._cluster.create(POD, _attachment_pod(vmi, launcher, name, claim_name))

    async def _run(self, pod: Object) -> None:
        if (pod.get("status") or {}).get("phase") == "Running":
            return
        now = timestamp()
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("PodScheduled", "Initialized", "Ready", "ContainersReady")
        ]
        status = {**(pod.get("status") or {}), "phase": "Running", "conditions": conditions, "startTime": now}
        await self._cluster.update_status(POD, {**pod, "status": status})

    async def _event(self, vmi: Object, reason: str, message: str) -> None:
        await self._cluster.event(vmi, "Normal", reason, message, MACHINE_COMPONENT)


def instance_of_attachment(pod: Object) -> str | None:
    """The name of the instance for which an attachment pod was made."""
    if labels_of(pod).get("kubevirt.io") != "hotplug-disk":
        return None
    return (pod["metadata"].get("annotations") or {}).get("kubevirt.io/owner-vmi-name")


def _attachment_pod(vmi: Object, launcher: Object, name: str, claim_name: str) -> Object:
    owner = {
        "kubevirt.io/owner-vmi-name": vmi["metadata"]["name"],
        "kubevirt.io/owner-vmi-uid": vmi["metadata"]["uid"],
    }
    return {
        "metadata": {
            "generateName": "hp-volume-",
            "namespace": vmi["metadata"]["namespace"],
            "labels": {"kubevirt.io": "hotplug-disk"},
            "annotations": owner,
            "ownerReferences": [controller_reference(launcher)],
        },
        "spec": {
            "nodeName": NODE,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": claim_name}}],
            "containers": [{"name": "hotplug-disk", "image": "sandbox/virt-launcher", "command": ["/bin/sh"]}],
        },
    }


def _status(name: str, claim: Object, phase: str, reason: str, message: str, plugged: Object) -> Object:
    return {
        "name": name,
        "target": "",
        "phase": phase,
        "reason": reason,
        "message": message,
        "hotplugVolume": plugged,
        "persistentVolumeClaimInfo": claim_info(claim),
    }
