"""The Node object and its heartbeat."""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, timestamp
from sandbox.cluster.errors import AlreadyExistsError, ConflictError, NotFoundError
from sandbox.cluster.kinds import LEASE, NAMESPACE, NODE
from sandbox.cluster.quantity import format_bytes
from sandbox.kubelet.pod_status import merged_conditions

_LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
_HEARTBEAT_SECONDS = 10.0
_SCHEME = "sandbox.safehold.dev/kubelet-scheme"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def register(cluster: Cluster, name: str, address: str, port: int) -> None:
    """Creates the Node, or takes over the one that is there, and reports it ready."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/arch": architecture, "kubernetes.io/os": "linux"}
    metadata = {"name": name, "labels": labels, "annotations": {_SCHEME: "http"}}
    with suppress(AlreadyExistsError):
        await cluster.create(NODE, {"metadata": metadata, "spec": {}})
    await cluster.patch(NODE, name, {"metadata": {"labels": labels, "annotations": {_SCHEME: "http"}}})
    node = await cluster.get(NODE, name) or {}
    known = (node.get("status") or {}).get("conditions") or []
    await cluster.patch(NODE, name, {"status": _status(name, address, port, known)}, subresource="status")


async def keep_lease(cluster: Cluster, name: str) -> None:
    """Renews the node's Lease until cancelled."""
    with suppress(AlreadyExistsError):
        await cluster.create(NAMESPACE, {"metadata": {"name": _LEASE_NAMESPACE}})
    while True:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        with suppress(ConflictError):
            try:
                await cluster.patch(LEASE, name, {"spec": spec}, _LEASE_NAMESPACE)
            except NotFoundError:
                await cluster.create(LEASE, {"metadata": {"name": name, "namespace": _LEASE_NAMESPACE}, "spec": spec})
        await asyncio.sleep(_HEARTBEAT_SECONDS)


def _status(name: str, address: str, port: int, known: list[Object]) -> Object:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    capacity = {"cpu": str(os.cpu_count() or 1), "memory": format_bytes(memory_bytes), "pods": "110"}
    now = datetime.now(UTC)
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    heartbeat = {"lastHeartbeatTime": timestamp(now)}
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": merged_conditions(known, [ready | heartbeat], now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "containerRuntimeVersion": "process://1",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.0-sandbox",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "this machine",
            "systemUUID": "",
        },
    }
