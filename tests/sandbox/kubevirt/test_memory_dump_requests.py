"""What becomes of a request for a memory dump, phase by phase: a table without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.cluster.client import Object
from sandbox.kubevirt.machines.memory_dump_requests import next_request

_NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_DUMPED: Object = {"claimName": "dump", "startTimestamp": "2026-11-22T09:00:00Z"}
_ENDED: Object = {**_DUMPED, "endTimestamp": "2026-11-22T09:00:01Z", "targetFileName": "db.memory.dump"}


def _vm(phase: str, *, held: bool = True) -> Object:
    volumes = [{"name": "dump", "memoryDump": {"claimName": "dump"}}] if held else []
    request = {"claimName": "dump", "phase": phase}
    return {"spec": {"template": {"spec": {"volumes": volumes}}}, "status": {"memoryDumpRequest": request}}


def _vmi(told: Object | None, *, phase: str = "MemoryDumpVolumeInProgress", held: bool = True) -> Object:
    volumes = [{"name": "dump", "memoryDump": {"claimName": "dump"}}] if held else []
    entry: Object = {"name": "dump", "phase": phase, "message": "said by QEMU"}
    statuses = [entry | ({"memoryDumpVolume": told} if told else {})] if held or told else []
    return {"spec": {"volumes": volumes}, "status": {"phase": "Running", "volumeStatus": statuses}}


@pytest.mark.parametrize(
    ("vm", "vmi", "phase"),
    [
        (_vm("Associating"), _vmi(None, phase="AttachedToNode"), "Associating"),
        (_vm("Associating"), _vmi(_DUMPED), "InProgress"),
        (_vm("InProgress"), _vmi(_ENDED, phase="MemoryDumpVolumeCompleted"), "Unmounting"),
        (_vm("InProgress"), _vmi(_ENDED, phase="MemoryDumpVolumeFailed"), "Failed"),
        (_vm("InProgress"), None, "Failed"),
        (_vm("Unmounting"), _vmi(_ENDED, phase="UnMountedFromPod"), "Unmounting"),
        (_vm("Unmounting"), _vmi(None, held=False), "Completed"),
        (_vm("Completed"), _vmi(None, held=False), "Completed"),
        (_vm("Dissociating"), _vmi(None, held=False), "Dissociating"),
        (_vm("Dissociating", held=False), _vmi(None), "Dissociating"),
        (_vm("Dissociating", held=False), _vmi(None, held=False), None),
        (_vm("Dissociating", held=False), None, None),
    ],
)
def test_a_request_moves_by_what_vm_and_instance_have(vm: Object, vmi: Object | None, phase: str | None) -> None:
    """One phase at a look; the request is gone only when nobody has the volume any more."""
    found = next_request(vm, vmi, _NOW)
    assert (found or {}).get("phase") == phase


def test_a_complete_dump_names_its_file_and_a_failed_one_says_why() -> None:
    """The file name is how anybody finds the dump in the claim."""
    complete = next_request(_vm("InProgress"), _vmi(_ENDED, phase="MemoryDumpVolumeCompleted"), _NOW)
    assert complete is not None
    assert complete["fileName"] == "db.memory.dump"
    failed = next_request(_vm("InProgress"), _vmi(_ENDED, phase="MemoryDumpVolumeFailed"), _NOW)
    assert failed is not None
    assert failed["message"] == "said by QEMU"


def test_a_vm_without_a_request_has_none() -> None:
    """Nothing is made up."""
    assert next_request({"spec": {}, "status": {}}, None, _NOW) is None
