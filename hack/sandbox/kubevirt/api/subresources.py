"""The aggregated API subresources.kubevirt.io/v1: start, stop, freeze and their like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.api.hotplug import add_volume, holds_volume, remove_volume
from sandbox.kubevirt.api.memory_dump import request_dump, request_removal
from sandbox.kubevirt.conditions import condition_of, is_true
from sandbox.kubevirt.durations import parse_duration
from sandbox.kubevirt.instancetypes.revisions import InstancetypeRevisions
from sandbox.kubevirt.machines.hypervisor import Hypervisor
from sandbox.kubevirt.machines.lifecycle import FINAL_PHASES, phase_of, run_strategy
from sandbox.kubevirt.quiescing import Quiescing

GROUP, VERSION = "subresources.kubevirt.io", "v1"
_BASE = f"/apis/{GROUP}/{VERSION}"
_VOLUME_VERBS = ("addvolume", "removevolume")
_MACHINE_VERBS = ("start", "stop", "restart", "memorydump", "removememorydump", *_VOLUME_VERBS)
_INSTANCE_VERBS = ("pause", "unpause", "freeze", "unfreeze", *_VOLUME_VERBS)


class Subresources:
    """Handlers for one aiohttp application; `add_routes` puts them there."""

    def __init__(self, cluster: Cluster, hypervisor: Hypervisor, quiescing: Quiescing) -> None:
        self._cluster = cluster
        self._hypervisor = hypervisor
        self._quiescing = quiescing

    def add_routes(self, app: web.Application) -> None:
        """Serves the group's paths."""
        machine = f"{_BASE}/namespaces/{{namespace}}/virtualmachines/{{name}}"
        instance = f"{_BASE}/namespaces/{{namespace}}/virtualmachineinstances/{{name}}"
        app.router.add_get(_BASE, self._resources)
        for verb, handler in {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "memorydump": self._dump_memory,
            "removememorydump": self._remove_memory_dump,
            "addvolume": self._add_volume,
            "removevolume": self._remove_volume,
        }.items():
            app.router.add_put(f"{machine}/{verb}", _answering(handler))
        app.router.add_get(f"{machine}/expand-spec", _answering(self._expanded))
        for verb, handler in {
            "pause": self._pause,
            "unpause": self._unpause,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "addvolume": self._plug,
            "removevolume": self._unplug,
        }.items():
            app.router.add_put(f"{instance}/{verb}", _answering(handler))
        app.router.add_get(f"{instance}/guestosinfo", _answering(self._guest_os_info))
        app.router.add_get(f"{instance}/filesystemlist", _answering(self._file_systems))

    async def _resources(self, _: web.Request) -> web.Response:
        names = [f"virtualmachines/{verb}" for verb in (*_MACHINE_VERBS, "expand-spec")]
        names += [f"virtualmachineinstances/{verb}" for verb in (*_INSTANCE_VERBS, "guestosinfo", "filesystemlist")]
        reading = ("expand-spec", "guestosinfo", "filesystemlist")
        resources = [
            {
                "name": name,
                "singularName": "",
                "namespaced": True,
                "kind": "VirtualMachine" if name.startswith("virtualmachines/") else "VirtualMachineInstance",
                "verbs": ["get"] if name.endswith(reading) else ["update"],
            }
            for name in names
        ]
        group_version = f"{GROUP}/{VERSION}"
        listing = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
        return web.json_response(listing)

    async def _start(self, request: web.Request) -> Object | None:
        vm, vmi = await self._machine(request)
        if vmi is not None and phase_of(vmi) not in FINAL_PHASES:
            raise _conflict(vm, "VM is already running")
        _refuse_in_use(vm)
        strategy = run_strategy(vm)
        if strategy == "Halted":
            return await self._set_strategy(vm, "Always")
        if strategy == "Always":
            raise _conflict(vm, "Always does not support manual start requests")
        return await self._request_change(vm, [{"action": "Start"}])

    async def _stop(self, request: web.Request) -> Object | None:
        vm, vmi = await self._machine(request)
        if vmi is None or phase_of(vmi) in FINAL_PHASES:
            raise _conflict(vm, "VM is not running")
        _refuse_in_use(vm)
        strategy = run_strategy(vm)
        if strategy == "Halted":
            raise _conflict(vm, "Halted only supports manual stop requests with a shorter graceperiod")
        if strategy == "Manual":
            return await self._request_change(vm, [{"action": "Stop", "uid": vmi["metadata"]["uid"]}])
        return await self._set_strategy(vm, "Halted")

    async def _restart(self, request: web.Request) -> Object | None:
        vm, vmi = await self._machine(request)
        if run_strategy(vm) == "Halted":
            raise _conflict(vm, "Halted does not support manual restart requests")
        if vmi is None or phase_of(vmi) in FINAL_PHASES:
            raise _conflict(vm, "VM is not running")
        _refuse_in_use(vm)
        return await self._request_change(vm, [{"action": "Stop", "uid": vmi["metadata"]["uid"]}, {"action": "Start"}])

    async def _dump_memory(self, request: web.Request) -> Object | None:
        vm, vmi = await self._machine(request)
        await request_dump(self._cluster, vm, vmi, await _body(request))
        return None

    async def _remove_memory_dump(self, request: web.Request) -> Object | None:
        vm, _ = await self._machine(request)
        await request_removal(self._cluster, vm)
        return None

    async def _add_volume(self, request: web.Request) -> Object | None:
        vm, _ = await self._machine(request)
        await add_volume(self._cluster, vm, await _body(request))
        return None

    async def _remove_volume(self, request: web.Request) -> Object | None:
        """Out of the VM, and out of its instance."""
        vm, vmi = await self._machine(request)
        body = await _body(request)
        await remove_volume(self._cluster, vm, body)
        if vmi is not None and holds_volume(vmi, body["name"]):
            await remove_volume(self._cluster, vmi, body)
        return None

    async def _plug(self, request: web.Request) -> Object | None:
        await add_volume(self._cluster, await self._running(request), await _body(request))
        return None

    async def _unplug(self, request: web.Request) -> Object | None:
        await remove_volume(self._cluster, await self._running(request), await _body(request))
        return None

    async def _expanded(self, request: web.Request) -> Object | None:
        """The VM with what its instance type and preference make of it."""
        vm, _ = await self._machine(request)
        try:
            return (await InstancetypeRevisions(self._cluster).of(vm)).expand(vm)
        except OSError as error:
            raise ApiError(404, "NotFound", str(error)) from error

    async def _pause(self, request: web.Request) -> Object | None:
        vmi = await self._running(request)
        if is_true(vmi, "Paused"):
            raise _conflict(vmi, "VMI is already paused")
        await self._hypervisor.pause(_key(request))
        return None

    async def _unpause(self, request: web.Request) -> Object | None:
        vmi = await self._running(request)
        if not is_true(vmi, "Paused"):
            raise _conflict(vmi, "VMI is not paused")
        vm, _ = await self._machine(request)
        if (vm.get("status") or {}).get("snapshotInProgress"):
            raise _conflict(vm, f"VM snapshot {vm['status']['snapshotInProgress']} in progress")
        await self._hypervisor.resume(_key(request))
        return None

    async def _freeze(self, request: web.Request) -> Object | None:
        body = await _body(request)
        if not body.get("unfreezeTimeout"):
            raise ApiError(400, "BadRequest", "Unfreeze timeout must be specified")
        try:
            seconds = parse_duration(str(body["unfreezeTimeout"]))
        except ValueError as error:
            raise ApiError(400, "BadRequest", str(error)) from error
        await self._running(request)
        await self._quiescing.freeze(_key(request), seconds)
        return None

    async def _unfreeze(self, request: web.Request) -> Object | None:
        await self._running(request)
        await self._quiescing.thaw(_key(request))
        return None

    async def _guest_os_info(self, request: web.Request) -> Object | None:
        vmi = await self._with_agent(request)
        running = self._hypervisor.find(_key(request))
        info = running.os_info if running else {}
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceGuestAgentInfo",
            "guestAgentVersion": info.get("agent-version", ""),
            "hostname": info.get("hostname", ""),
            "os": (vmi.get("status") or {}).get("guestOSInfo") or {},
            "fsFreezeStatus": (vmi.get("status") or {}).get("fsFreezeStatus", "thawed"),
        }

    async def _file_systems(self, request: web.Request) -> Object | None:
        await self._with_agent(request)
        items = [
            {
                "diskName": item.get("name", ""),
                "mountPoint": item.get("mountpoint", ""),
                "fileSystemType": item.get("type", ""),
                "usedBytes": item.get("used-bytes", 0),
                "totalBytes": item.get("total-bytes", 0),
            }
            for item in await self._hypervisor.file_systems(_key(request))
        ]
        return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceFileSystemList", "items": items}

    async def _machine(self, request: web.Request) -> tuple[Object, Object | None]:
        namespace, name = _key(request)
        vm = await self._cluster.get(VIRTUAL_MACHINE, name, namespace)
        if vm is None:
            raise ApiError(404, "NotFound", f'virtualmachine.kubevirt.io "{name}" not found')
        return vm, await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, name, namespace)

    async def _running(self, request: web.Request) -> Object:
        namespace, name = _key(request)
        vmi = await self._cluster.get(VIRTUAL_MACHINE_INSTANCE, name, namespace)
        if vmi is None:
            raise ApiError(404, "NotFound", f'virtualmachineinstance.kubevirt.io "{name}" not found')
        if phase_of(vmi) != "Running":
            raise _conflict(vmi, "VMI is not running")
        return vmi

    async def _with_agent(self, request: web.Request) -> Object:
        vmi = await self._running(request)
        if condition_of(vmi, "AgentConnected") is None:
            raise _conflict(vmi, "VMI does not have guest agent connected")
        return vmi

    async def _set_strategy(self, vm: Object, strategy: str) -> Object | None:
        body: Object = {"spec": {"runStrategy": strategy, "running": None}}
        await self._cluster.patch(VIRTUAL_MACHINE, vm["metadata"]["name"], body, vm["metadata"]["namespace"])
        return None

    async def _request_change(self, vm: Object, requests: list[dict[str, str]]) -> Object | None:
        namespace, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
        body = {"status": {"stateChangeRequests": requests}}
        await self._cluster.patch(VIRTUAL_MACHINE, name, body, namespace, subresource="status")
        return None


def _answering(handler: Callable[[web.Request], Awaitable[Object | None]]) -> Callable[..., Awaitable[web.Response]]:
    """The handler's object as 200, nothing as 202, and errors as Kubernetes Status objects."""

    async def answer(request: web.Request) -> web.Response:
        try:
            result = await handler(request)
        except ApiError as error:
            return _status(error.code, error.reason, error.message)
        except GuestError as error:
            message = f"unexpected return code 500 (500 Internal Server Error), message: {error}"
            return _status(500, "InternalError", f"Internal error occurred: {message}")
        return web.Response(status=202) if result is None else web.json_response(result)

    return answer


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response({**body, "message": message, "reason": reason, "code": code}, status=code)


def _conflict(obj: Object, message: str) -> ApiError:
    resource = f"{obj['kind'].lower()}.kubevirt.io"
    name = obj["metadata"]["name"]
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {message}')


def _refuse_in_use(vm: Object) -> None:
    restore = (vm.get("status") or {}).get("restoreInProgress")
    if restore:
        raise _conflict(vm, f"Cannot start VM until restore {restore} completes")


def _key(request: web.Request) -> tuple[str, str]:
    return request.match_info["namespace"], request.match_info["name"]


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError as error:
        raise ApiError(400, "BadRequest", f"Can not unmarshal Request body to struct, error: {error}") from error
    return body if isinstance(body, dict) else {}
