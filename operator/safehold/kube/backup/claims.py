"""Claims: those of VMs, and those that the operator makes from a snapshot."""

from dataclasses import replace

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, EVENT, VOLUME
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.facts import CloneFacts, MachineFacts
from safehold.plan.names import GROUP_MARK
from safehold.plan.quantities import parse_bytes


async def observe_claim(cluster: Cluster, namespace: str, name: str) -> ClaimFacts | None:
    """A claim that is bound to a CSI volume, with that volume; None for any other."""
    claim = await cluster.get(CLAIM, name, namespace)
    volume_name = (claim or {}).get("spec", {}).get("volumeName")
    volume = await cluster.get(VOLUME, volume_name) if volume_name else None
    if claim is None or volume is None or "csi" not in volume["spec"]:
        return None
    metadata, spec = claim["metadata"], claim["spec"]
    labels = dict(metadata.get("labels") or {})
    mark = labels.pop(GROUP_MARK, None)
    capacity = (claim.get("status") or {}).get("capacity") or volume["spec"]["capacity"]
    return ClaimFacts(
        name=name,
        uid=metadata["uid"],
        mode=spec.get("volumeMode") or "Filesystem",
        capacity_bytes=parse_bytes(capacity["storage"]),
        storage_class=spec.get("storageClassName"),
        access_modes=tuple(spec.get("accessModes") or ()),
        driver=volume["spec"]["csi"]["driver"],
        volume_handle=volume["spec"]["csi"]["volumeHandle"],
        labels=labels,
        annotations=metadata.get("annotations") or {},
        mark=mark,
        node_affinity=(volume["spec"].get("nodeAffinity") or {}).get("required"),
    )


async def observe_clone(cluster: Cluster, namespace: str, name: str) -> CloneFacts | None:
    """A claim of ours, with the provisioner's last complaint while it is not bound."""
    claim = await cluster.get(CLAIM, name, namespace)
    if claim is None:
        return None
    facts = clone_facts(claim)
    if facts.bound:
        return facts
    return clone_facts(claim, await _last_warning(cluster, namespace, facts.uid))


async def with_storage_classes(cluster: Cluster, machine: MachineFacts, namespace: str) -> MachineFacts:
    """The VM with the storage classes of its disks' claims."""
    claims = [await cluster.get(CLAIM, disk.claim, namespace) for disk in machine.disks if disk.claim]
    found = {claim["spec"].get("storageClassName") or "" for claim in claims if claim}
    return replace(machine, storage_classes=tuple(sorted(found - {""})))


async def with_claim_labels(cluster: Cluster, machine: MachineFacts, namespace: str) -> MachineFacts:
    """The VM with the labels of its disks' claims; None of a claim that does not exist."""
    claims = {disk.claim: await cluster.get(CLAIM, disk.claim, namespace) for disk in machine.disks if disk.claim}
    labels = {name: claim["metadata"].get("labels") or {} for name, claim in claims.items() if claim}
    return replace(
        machine, disks=tuple(replace(disk, claim_labels=labels.get(disk.claim or "")) for disk in machine.disks)
    )


def clone_facts(claim: Manifest, problem: str = "") -> CloneFacts:
    """What the planner needs of a claim of ours."""
    return CloneFacts(
        name=claim["metadata"]["name"],
        uid=claim["metadata"]["uid"],
        bound=(claim.get("status") or {}).get("phase") == "Bound",
        deleting="deletionTimestamp" in claim["metadata"],
        problem=problem,
    )


async def _last_warning(cluster: Cluster, namespace: str, uid: str) -> str:
    events = await cluster.list(EVENT, namespace, fields=f"involvedObject.uid={uid}")
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    last = max(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return f"{last.get('reason', '')}: {last.get('message', '')}"[:300]
