"""What an instance type and a preference make of a VM's template.

Carried over: CPUs, memory and annotations of the instance type; topology, disk bus, machine type and grace period of
the preference. The rest of both concerns hardware that the sandbox's guests do not have.
"""

from __future__ import annotations

import copy

from sandbox.cluster.client import Object

_TOPOLOGY = {"cores": "cores", "preferCores": "cores", "threads": "threads", "preferThreads": "threads"}
"""preferredCPUTopology → the field of domain.cpu that gets the CPUs; sockets, unless it is here."""


def expanded(vm: Object, instancetype: Object | None, preference: Object | None) -> Object:
    """The VM with its template filled in and without its matchers, as the subresource expand-spec shows it."""
    found = copy.deepcopy(vm)
    for field in ("instancetype", "preference"):
        found["spec"].pop(field, None)
    template = found["spec"]["template"]
    wishes = (preference or {}).get("spec") or {}
    if instancetype is not None:
        _size(template, instancetype["spec"], wishes)
    _prefer(template["spec"], wishes)
    return found


def conflict(vm: Object, instancetype: Object) -> str | None:
    """The field of a VM that says what its instance type says already, None if there is none."""
    domain = vm["spec"]["template"]["spec"]["domain"]
    resources = domain.get("resources") or {}
    named = {
        "domain.cpu.cores": (domain.get("cpu") or {}).get("cores"),
        "domain.cpu.sockets": (domain.get("cpu") or {}).get("sockets"),
        "domain.cpu.threads": (domain.get("cpu") or {}).get("threads"),
        "domain.memory": domain.get("memory") if instancetype["spec"].get("memory") else None,
        "domain.resources.requests.cpu": (resources.get("requests") or {}).get("cpu"),
        "domain.resources.requests.memory": (resources.get("requests") or {}).get("memory"),
    }
    return next((f"spec.template.spec.{field}" for field, value in named.items() if value), None)


def _size(template: Object, spec: Object, wishes: Object) -> None:
    domain = template["spec"]["domain"]
    topology = str((wishes.get("cpu") or {}).get("preferredCPUTopology") or "")
    cpu = {"cores": 1, "sockets": 1, "threads": 1, _TOPOLOGY.get(topology, "sockets"): int(spec["cpu"]["guest"])}
    domain["cpu"] = {**(domain.get("cpu") or {}), **cpu}
    domain["memory"] = {**(domain.get("memory") or {}), "guest": spec["memory"]["guest"]}
    if spec.get("annotations"):
        metadata = template.setdefault("metadata", {})
        metadata["annotations"] = {**spec["annotations"], **(metadata.get("annotations") or {})}


def _prefer(spec: Object, wishes: Object) -> None:
    """Preferences count only where the VM says nothing itself."""
    domain = spec["domain"]
    machine = (wishes.get("machine") or {}).get("preferredMachineType")
    if machine:
        domain.setdefault("machine", {}).setdefault("type", machine)
    if "preferredTerminationGracePeriodSeconds" in wishes:
        spec.setdefault("terminationGracePeriodSeconds", wishes["preferredTerminationGracePeriodSeconds"])
    bus = (wishes.get("devices") or {}).get("preferredDiskBus")
    if bus:
        for disk in (domain.get("devices") or {}).get("disks") or []:
            if not {"lun", "cdrom"} & set(disk):
                disk.setdefault("disk", {}).setdefault("bus", bus)
