"""Disks of an instance that were not there when its guest was started: plugged in, shown in its status, plugged out.

Phases and texts are those of KubeVirt's source; no recording exists. What only the instance has stays there, as it does
with the gate HotplugVolumes. A disk that the VM keeps is at the guest's next start one like all others, where KubeVirt
plugs it anew. KubeVirt's own backups leave plugged disks out here, since nobody tracks their blocks.
"""

from __future__ import annotations

import copy
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.informer import key_of
from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.machines.disks import disk_of
from sandbox.kubevirt.machines.hypervisor import Running
from sandbox.kubevirt.machines.lifecycle import phase_of
from sandbox.kubevirt.machines.utility_volumes import MOUNTED, READY
from sandbox.kubevirt.volumes import claim_names, is_hotpluggable, template_volumes


def plugged_claims(vmi: Object, running: Running | None) -> dict[str, str]:
    """Volume name → claim name of the disks that are plugged in, or are to be."""
    if running is None:
        return {}
    volumes = [volume for volume in vmi["spec"].get("volumes") or [] if "memoryDump" not in volume]
    return {name: claim for name, claim in claim_names(volumes).items() if name not in running.started_with}


async def bring_into_instance(cluster: Cluster, vm: Object, vmi: Object | None) -> bool:
    """Gives the running instance the volumes that were added to the VM; True if something was written."""
    if vmi is None or phase_of(vmi) != "Running":
        return False
    present = {volume["name"] for volume in vmi["spec"].get("volumes") or []}
    shown = {entry["name"] for entry in (vmi.get("status") or {}).get("volumeStatus") or []}
    added = [
        volume for volume in template_volumes(vm) if is_hotpluggable(volume) and volume["name"] not in present | shown
    ]
    if not added:
        return False
    names = {volume["name"] for volume in added}
    changed = copy.deepcopy(vmi)
    changed["spec"]["volumes"] = [*(vmi["spec"].get("volumes") or []), *added]
    devices = changed["spec"]["domain"].setdefault("devices", {})
    of_template = vm["spec"]["template"]["spec"]["domain"].get("devices", {}).get("disks") or []
    devices["disks"] = [*(devices.get("disks") or []), *(disk for disk in of_template if disk["name"] in names)]
    await cluster.update(VIRTUAL_MACHINE_INSTANCE, changed)
    return True


class HotplugDisks:
    """What virt-handler and virt-launcher do once a volume's pod has brought it to the node."""

    def __init__(self, cluster: Cluster, caches: Caches, volumes: Path) -> None:
        self._cluster = cluster
        self._caches = caches
        self._volumes = volumes

    async def unplug(self, vmi: Object, running: Running) -> None:
        """Takes the disks out of the guest that the instance does not name any more."""
        for name in running.guest.plugged - plugged_claims(vmi, running).keys():
            try:
                await running.guest.unplug(name)
            except GuestError as error:
                await self._warn(vmi, error)

    async def shown(self, vmi: Object, running: Running, statuses: Objects) -> Objects:
        """The entries of status.volumeStatus. A disk that has come to the node is plugged in."""
        claims = plugged_claims(vmi, running)
        return [await self._shown(vmi, running, item, claims.get(item["name"])) for item in statuses]

    async def _shown(self, vmi: Object, running: Running, entry: Object, claim_name: str | None) -> Object:
        name = entry["name"]
        if claim_name is None or entry["phase"] != MOUNTED:
            return entry
        if name not in running.guest.plugged:
            claim = self._caches.claims.get(claim_name, key_of(vmi)[0])
            assert claim is not None, "a pod mounts it"
            volume = self._caches.volumes.get(claim["spec"]["volumeName"])
            try:
                await running.guest.plug(disk_of(name, claim, volume, self._volumes))
            except GuestError as error:
                await self._warn(vmi, error)
                return entry
        message = f"Successfully attach hotplugged volume {name} to VM"
        return entry | {"phase": READY, "reason": "VolumeReady", "message": message}

    async def _warn(self, vmi: Object, error: GuestError) -> None:
        await self._cluster.event(vmi, "Warning", "SyncFailed", f"server error. {error}", "virt-handler")
