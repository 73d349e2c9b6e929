"""Which claim holds a VM's TPM and EFI state. KubeVirt finds it by a label, and so do we."""

from collections.abc import Iterator

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM
from safehold.plan.machine_state import captured_name, state_labels


def own_state_of(vm: Manifest) -> Iterator[str]:
    """The devices whose state KubeVirt keeps for the VM, in a claim that is not among its volumes."""
    domain = ((vm["spec"].get("template") or {}).get("spec") or {}).get("domain") or {}
    if _is_persistent((domain.get("devices") or {}).get("tpm")):
        yield "TPM"
    if _is_persistent(((domain.get("firmware") or {}).get("bootloader") or {}).get("efi")):
        yield "EFI"


async def state_claim_of(cluster: Cluster, namespace: str, vm: str, vmi: Manifest | None = None) -> str | None:
    """The claim's name; None while KubeVirt has not made it, which it does at the VM's first start.

    A migration between volumes has two for a while: the one that the instance runs with counts.
    """
    found = await cluster.list(CLAIM, namespace, labels=state_labels(vm))
    names = sorted(claim["metadata"]["name"] for claim in found if "deletionTimestamp" not in claim["metadata"])
    if names:
        used = _used_by(vmi, vm)
        return used if used in names else str(names[0])
    old = await cluster.get(CLAIM, captured_name(vm), namespace)
    return None if old is None else captured_name(vm)


def _is_persistent(device: Manifest | None) -> bool:
    return bool((device or {}).get("persistent"))


def _used_by(vmi: Manifest | None, vm: str) -> str | None:
    for volume in ((vmi or {}).get("status") or {}).get("volumeStatus") or []:
        if volume.get("name", "").startswith(captured_name(vm)):
            name = (volume.get("persistentVolumeClaimInfo") or {}).get("claimName")
            return str(name) if name else None
    return None
