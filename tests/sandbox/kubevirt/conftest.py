"""What the tests of the sandbox's KubeVirt share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.cluster.client import Object

from .world import World


@pytest.fixture
def world() -> Callable[..., World]:
    """Makes a world with a running VM of two disks and an agent; keyword arguments replace its parts."""

    def make(**replaced: Any) -> World:
        metadata = {"namespace": "lab", "generation": 1, "creationTimestamp": "2026-11-22T09:00:00Z"}
        volumes: list[Object] = [
            {"name": "root", "persistentVolumeClaim": {"claimName": "root1"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data1"}},
        ]
        claims = {
            name: {
                "metadata": {"name": name, "namespace": "lab", "uid": f"{name}-uid"},
                "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
                "status": {"phase": "Bound"},
            }
            for name in ("root1", "data1")
        }
        parts: dict[str, Any] = {
            "snapshot": {
                "metadata": {**metadata, "name": "s1", "uid": "snap-uid"},
                "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "vm1"}},
            },
            "vm": {
                "metadata": {**metadata, "name": "vm1", "uid": "vm-uid"},
                "spec": {"runStrategy": "Always", "template": {"spec": {"domain": {}, "volumes": volumes}}},
            },
            "vmi": {
                "metadata": {**metadata, "name": "vm1", "uid": "vmi-uid"},
                "spec": {},
                "status": {"phase": "Running", "conditions": [{"type": "AgentConnected", "status": "True"}]},
            },
            "claims": claims,
            "classes": {"root1": "snap", "data1": "snap"},
            "now": datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC),
        }
        return World(**{**parts, **replaced})

    return make
