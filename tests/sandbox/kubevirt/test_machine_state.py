"""Persistent TPM and EFI variables of the sandbox's VMs: which claim is theirs, and what its files are called."""

from pathlib import Path

import pytest

from sandbox.cluster.client import Object
from sandbox.kubevirt.machines.machine_state import keeps_state, state_claim_among, state_volumes, write_state


def claim(name: str, vm: str | None = None, *, deleting: bool = False) -> Object:
    """A claim, with KubeVirt's label if it is one of `vm`."""
    metadata: Object = {"name": name, "labels": {"persistent-state-for": vm} if vm else {}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    return {"metadata": metadata, "spec": {}}


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ([claim("a", "other"), claim("b", "db")], "b"),
        ([claim("persistent-state-for-db")], "persistent-state-for-db"),
        ([claim("persistent-state-for-db"), claim("labelled", "db")], "labelled"),
        ([claim("b", "db", deleting=True)], None),
        ([], None),
    ],
)
def test_the_claim_is_found_by_label_then_by_name(claims: list[Object], found: str | None) -> None:
    """As KubeVirt finds it; snapshots know it under one name whatever the claim is called."""
    chosen = state_claim_among(claims, "db")
    assert (chosen["metadata"]["name"] if chosen else None) == found
    assert [volume["name"] for volume in state_volumes(claims, "db")] == (["persistent-state-for-db"] if found else [])


@pytest.mark.parametrize(
    ("domain", "kept"),
    [
        ({"devices": {"tpm": {"persistent": True}}}, True),
        ({"devices": {"tpm": {}}}, False),
        ({"devices": {}, "firmware": {"bootloader": {"efi": {"persistent": True}}}}, True),
        ({"devices": {}}, False),
    ],
)
def test_only_persistent_devices_have_a_state(domain: Object, kept: bool) -> None:
    """Others start anew each time."""
    assert keeps_state({"domain": domain}) is kept


def test_a_machine_finds_its_own_state_and_no_other(tmp_path: Path) -> None:
    """TPM state by the firmware id, variables by the VM's name; what is there is never written over."""
    vmi: Object = {"metadata": {"name": "db"}, "spec": {"domain": {"firmware": {"uuid": "1-2-3"}}}}
    write_state(tmp_path, vmi)
    tpm, variables = tmp_path / "swtpm/1-2-3/tpm2/tpm2-00.permall", tmp_path / "nvram/db_VARS.fd"
    before = tpm.read_bytes(), variables.read_bytes()
    write_state(tmp_path, vmi)
    assert (tpm.read_bytes(), variables.read_bytes()) == before
    copy: Object = {"metadata": {"name": "copy"}, "spec": {"domain": {"firmware": {"uuid": "4-5-6"}}}}
    write_state(tmp_path, copy)
    assert (tmp_path / "swtpm/4-5-6/tpm2/tpm2-00.permall").read_bytes() != before[0]
