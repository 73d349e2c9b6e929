"""The subresources `memorydump` and `removememorydump`: what virt-api checks before it notes a request in the VM.

From KubeVirt's source, as its texts are: no recording exists.
"""

from __future__ import annotations

from typing import Any

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE
from sandbox.cluster.quantity import parse_quantity
from sandbox.kubevirt.machines.lifecycle import phase_of

OVERHEAD_BYTES = 100 << 20
"""What the claim must have beside the guest's memory."""


async def request_dump(cluster: Cluster, vm: Object, vmi: Object | None, body: dict[str, Any]) -> None:
    """Notes the request; ApiError as virt-api answers."""
    claim_name = body.get("claimName") or ((vm.get("status") or {}).get("memoryDumpRequest") or {}).get("claimName")
    if not claim_name:
        raise ApiError(400, "BadRequest", "Memory dump requires claim name on first request")
    if vmi is None:
        name = vm["metadata"]["name"]
        raise ApiError(404, "NotFound", f'virtualmachineinstance.kubevirt.io "{name}" not found')
    if phase_of(vmi) != "Running":
        raise _conflict(vm, "VMI is not running")
    await _check_claim(cluster, vmi, str(claim_name))
    before = (vm.get("status") or {}).get("memoryDumpRequest")
    if before and before["claimName"] != claim_name:
        associated = f"VM is already associated with a memory dump pvc [{before['claimName']}]"
        raise _conflict(vm, f"unable to add memory dump request due to conflict: {associated}")
    if before and before["phase"] not in ("Completed", "Failed"):
        raise _conflict(vm, "memory dump request for the VM is already in progress")
    await _note(cluster, vm, {"claimName": claim_name, "phase": "Associating"})


async def request_removal(cluster: Cluster, vm: Object) -> None:
    """Notes that the VM should forget its dump."""
    before = (vm.get("status") or {}).get("memoryDumpRequest")
    if not before:
        raise _conflict(vm, "can't remove memory dump from vm, vm has no memory dump request")
    if before["phase"] == "Dissociating":
        raise _conflict(vm, "memory dump is already being removed")
    await _note(cluster, vm, {**before, "phase": "Dissociating", "remove": True})


async def _check_claim(cluster: Cluster, vmi: Object, name: str) -> None:
    claim = await cluster.get(PERSISTENT_VOLUME_CLAIM, name, vmi["metadata"]["namespace"])
    if claim is None:
        raise ApiError(404, "NotFound", f'persistentvolumeclaims "{name}" not found')
    if claim["spec"].get("volumeMode") == "Block":
        raise _conflict(vmi, "pvc should be filesystem pvc")
    domain = vmi["spec"]["domain"]
    memory = (domain.get("memory") or {}).get("guest") or domain["resources"].get("requests", {}).get("memory") or 0
    needed = parse_quantity(str(memory)) + OVERHEAD_BYTES
    size = parse_quantity(claim["spec"]["resources"]["requests"]["storage"])
    if size < needed:
        raise _conflict(vmi, f"pvc size should be bigger then vm memory, expected size: {needed}, found: {size}")


async def _note(cluster: Cluster, vm: Object, request: Object) -> None:
    """Like virt-api's patch, it minds another request that came first, and nothing else that was written meanwhile."""
    namespace, name, path = vm["metadata"]["namespace"], vm["metadata"]["name"], "/status/memoryDumpRequest"
    known = (vm.get("status") or {}).get("memoryDumpRequest")
    operations: Objects = [{"op": "add", "path": path, "value": request}]
    if known is not None:
        operations.insert(0, {"op": "test", "path": path, "value": known})
    await cluster.patch(VIRTUAL_MACHINE, name, operations, namespace, patch_type="json", subresource="status")


def _conflict(obj: Object, message: str) -> ApiError:
    resource, name = f"{obj['kind'].lower()}.kubevirt.io", obj["metadata"]["name"]
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {message}')
