"""The subresources `addvolume` and `removevolume`: what virt-api checks before it changes a VM or its instance.

From KubeVirt's source, as its texts are: no recording exists.
"""

from __future__ import annotations

from typing import Any

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE, Kind
from sandbox.kubevirt.volumes import claim_name, is_hotpluggable


async def add_volume(cluster: Cluster, obj: Object, body: dict[str, Any]) -> None:
    """Writes the volume into the VM's template, or into the spec of an instance; ApiError as virt-api answers."""
    name, disk, source = (body.get(field) for field in ("name", "disk", "volumeSource"))
    for value, problem in (
        (name, "name to be set"),
        (disk, "disk to not be nil"),
        (source, "VolumeSource to not be nil"),
    ):
        if not value:
            raise ApiError(400, "BadRequest", f"AddVolumeOptions requires {problem}")
    assert isinstance(source, dict)
    for volume in _volumes(obj):
        if volume["name"] == name:
            raise _conflict(obj, f"Unable to add volume [{name}] because volume with that name already exists")
        if claim_name(volume) == claim_name(source):
            raise _conflict(obj, f"Unable to add volume source [{claim_name(source)}] because it already exists")
    pluggable = {field: {**value, "hotpluggable": True} for field, value in source.items()}
    volumes = [*_volumes(obj), {"name": name, **pluggable}]
    await _write(cluster, obj, volumes, [*_disks(obj), {**(disk or {}), "name": name}])


async def remove_volume(cluster: Cluster, obj: Object, body: dict[str, Any]) -> None:
    """The reverse, of a volume that was plugged in."""
    name = body.get("name")
    if not name:
        raise ApiError(400, "BadRequest", "RemoveVolumeOptions requires name to be set")
    found = next((volume for volume in _volumes(obj) if volume["name"] == name), None)
    if found is None:
        raise _conflict(obj, f"Unable to remove volume [{name}] because it does not exist")
    if not is_hotpluggable(found):
        raise _conflict(obj, f"Unable to remove volume [{name}] because it is not hotpluggable")
    volumes = [volume for volume in _volumes(obj) if volume["name"] != name]
    await _write(cluster, obj, volumes, [disk for disk in _disks(obj) if disk["name"] != name])


def holds_volume(obj: Object, name: str | None) -> bool:
    """Whether a VM or an instance has a volume of that name."""
    return any(volume["name"] == name for volume in _volumes(obj))


async def _write(cluster: Cluster, obj: Object, volumes: Objects, disks: Objects) -> None:
    """Like virt-api's patch, it does not mind that somebody has written the status meanwhile."""
    spec = {"volumes": volumes, "domain": {"devices": {"disks": disks}}}
    metadata, kind = obj["metadata"], _kind(obj)
    body = {"spec": {"template": {"spec": spec}} if kind is VIRTUAL_MACHINE else spec}
    await cluster.patch(kind, metadata["name"], body, metadata["namespace"])


def _disks(obj: Object) -> Objects:
    return list((_spec(obj)["domain"].get("devices") or {}).get("disks") or [])


def _spec(obj: Object) -> Object:
    spec: Object = obj["spec"]["template"]["spec"] if "template" in obj["spec"] else obj["spec"]
    return spec


def _volumes(obj: Object) -> Objects:
    return list(_spec(obj).get("volumes") or [])


def _kind(obj: Object) -> Kind:
    return VIRTUAL_MACHINE if "template" in obj["spec"] else VIRTUAL_MACHINE_INSTANCE


def _conflict(obj: Object, message: str) -> ApiError:
    resource, name = f"{obj['kind'].lower()}.kubevirt.io", obj["metadata"]["name"]
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {message}')
