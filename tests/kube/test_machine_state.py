"""The claim in which KubeVirt keeps a VM's TPM and EFI state."""

from typing import Any

import pytest

from safehold.kube.client import Cluster
from safehold.kube.kinds import CLAIM, VM, VMI
from safehold.kube.machine_state import own_state_of, state_claim_of
from safehold.kube.virtualmachines import observe_machine
from safehold.plan.backup.facts import DiskFacts
from safehold.plan.machine_state import STATE_VOLUME, state_labels

PERSISTENT: dict[str, Any] = {"devices": {"tpm": {"persistent": True}}}


def machine(namespace: str, domain: dict[str, Any]) -> dict[str, Any]:
    """VM db without disks."""
    return {"metadata": {"name": "db", "namespace": namespace}, "spec": {"template": {"spec": {"domain": domain}}}}


async def claim(cluster: Cluster, namespace: str, name: str, **labels: str) -> None:
    """A claim with these labels."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    await cluster.create(CLAIM, {"metadata": metadata, "spec": spec})


@pytest.mark.parametrize(
    ("domain", "state"),
    [
        ({"devices": {}}, []),
        ({"devices": {"tpm": {}}, "firmware": {"bootloader": {"efi": {"secureBoot": False}}}}, []),
        (PERSISTENT, ["TPM"]),
        ({"devices": {}, "firmware": {"bootloader": {"efi": {"persistent": True}}}}, ["EFI"]),
    ],
)
def test_state_that_kubevirt_keeps_is_seen(domain: dict[str, Any], state: list[str]) -> None:
    """Only what is persistent is more than the disks; a TPM or EFI without it starts anew each time."""
    assert list(own_state_of(machine("shop", domain))) == state


async def test_the_claim_is_found_as_kubevirt_finds_it(cluster: Cluster, namespace: str) -> None:
    """By the label, whatever its name; before KubeVirt 1.4 by the name; during a migration, the one in use."""
    assert await state_claim_of(cluster, namespace, "db") is None
    await claim(cluster, namespace, "persistent-state-for-db")
    assert await state_claim_of(cluster, namespace, "db") == "persistent-state-for-db"
    await claim(cluster, namespace, "some-name", **state_labels("db"))
    await claim(cluster, namespace, "other", **state_labels("other"))
    assert await state_claim_of(cluster, namespace, "db") == "some-name"
    await claim(cluster, namespace, "target", **state_labels("db"))
    info = {"name": "persistent-state-for-db", "persistentVolumeClaimInfo": {"claimName": "target"}}
    assert await state_claim_of(cluster, namespace, "db", {"status": {"volumeStatus": [info]}}) == "target"


async def test_the_state_is_one_of_the_volumes_to_capture(cluster: Cluster, namespace: str) -> None:
    """A VM that has never been started has none yet; afterwards it is captured like a disk."""
    await cluster.create(VM, machine(namespace, PERSISTENT))
    fresh = await observe_machine(cluster, namespace, "db")
    assert fresh is not None
    assert (fresh.own_state, fresh.disks) == (("TPM",), ())
    await claim(cluster, namespace, "persistent-state-for-db-x1", **state_labels("db"))
    vmi = {"metadata": {"name": "db", "namespace": namespace}, "spec": {"domain": {"devices": {}}}}
    await cluster.create(VMI, vmi)
    started = await observe_machine(cluster, namespace, "db")
    assert started is not None
    assert started.disks == (DiskFacts(name=STATE_VOLUME, claim="persistent-state-for-db-x1", snapshottable=True),)
