"""Memory dumps in the cluster: KubeVirt's record of one, our claim for it, and its snapshot.

From KubeVirt's source, not from a recording: the subresource `memorydump` of a VM takes the name of a Filesystem claim
in the VM's namespace, plugs the claim into the running instance as a volume of the claim's name, and tells in the VM's
`status.memoryDumpRequest` how far it is; `removememorydump` takes the volume out again and clears the record.
"""

from dataclasses import replace

from safehold.api.vmbackup import VMBackup
from safehold.errors import ClusterError, ClusterUnavailableError, ConflictError, NotFoundError
from safehold.kube.backup.claims import observe_claim
from safehold.kube.backup.snapshots import read_content, read_volume_snapshot
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import CLAIM, VM, VM_SUBRESOURCES, VMI, VOLUME_SNAPSHOT
from safehold.plan.backup.capture_facts import CapturedVolume, SnapshotFacts
from safehold.plan.backup.memory_facts import (
    MEMORY_VOLUME,
    CreateDumpClaim,
    DumpClaim,
    DumpRequest,
    DumpSnapshot,
    MemoryDumpRef,
    MemoryFacts,
    MemoryStep,
    RemoveMemoryDump,
    RequestMemoryDump,
    SnapshotDumpClaim,
    TenantObject,
)
from safehold.plan.names import OWNER_UID, memory_claim_name
from safehold.plan.quantities import parse_bytes

REFUSED = "safehold.dev/memory-dump-refused"
"""Annotation of the claim: KubeVirt's words when it did not take the request. Nothing else remembers them."""


async def observe_memory(cluster: Cluster, backup: VMBackup) -> MemoryFacts | None:
    """What a run that wants a dump and has none yet depends on; None for any other run."""
    dump = backup.status.memory_dump
    if not backup.spec.memory_dump or (dump and dump.phase in ("Captured", "Stored", "Failed")):
        return None
    namespace, vm_name = backup.metadata.namespace or "", backup.spec.vm.name
    name = dump.claim_name if dump else memory_claim_name(backup.metadata.name, backup.metadata.uid)
    vm = await cluster.get(VM, vm_name, namespace) or {}
    vmi = await cluster.get(VMI, vm_name, namespace)
    claim = await cluster.get(CLAIM, name, namespace)
    return MemoryFacts(
        guest_bytes=_guest_bytes(vmi),
        locked_by=(vm.get("status") or {}).get("snapshotInProgress"),
        request=request_of(vm),
        attached=name in _dump_claims(vm, vmi),
        claim=_dump_claim(claim, backup.metadata.uid) if claim else None,
        snapshot=await _dump_snapshot(cluster, name, namespace),
    )


def request_of(vm: Manifest) -> DumpRequest | None:
    """KubeVirt's record of the VM's dump."""
    found = (vm.get("status") or {}).get("memoryDumpRequest")
    if not found:
        return None
    return DumpRequest(
        claim=found["claimName"],
        phase=found["phase"],
        file_name=found.get("fileName") or "",
        message=found.get("message") or "",
    )


async def with_memory(cluster: Cluster, snapshot: SnapshotFacts | None, backup: VMBackup) -> SnapshotFacts | None:
    """The snapshot with the captured dump as one more of its volumes."""
    dump = backup.status.memory_dump
    if snapshot is None or snapshot.capture is None or dump is None or dump.phase != "Captured":
        return snapshot
    namespace = backup.metadata.namespace or ""
    taken = await read_volume_snapshot(cluster, dump.claim_name, namespace)
    volume = CapturedVolume(
        name=MEMORY_VOLUME,
        claim_name=dump.claim_name,
        claim_uid=dump.claim_uid or "",
        snapshot_name=dump.claim_name,
        claim=await observe_claim(cluster, namespace, dump.claim_name),
        snapshot=taken,
        content=await read_content(cluster, taken.content) if taken and taken.content else None,
    )
    return replace(snapshot, capture=replace(snapshot.capture, volumes=(*snapshot.capture.volumes, volume)))


async def dumps_of(cluster: Cluster, claims: tuple[TenantObject, ...]) -> tuple[MemoryDumpRef, ...]:
    """Which VMs still have one of our claims for a dump."""
    found: list[MemoryDumpRef] = []
    wanted = {(claim.namespace, claim.name) for claim in claims}
    for namespace in sorted({claim.namespace for claim in claims}):
        for vm in await cluster.list(VM, namespace):
            request = request_of(vm)
            if request is not None and (namespace, request.claim) in wanted:
                found.append(MemoryDumpRef(namespace=namespace, vm=vm["metadata"]["name"], claim=request.claim))
    return tuple(found)


async def carry_out_memory_step(cluster: Cluster, step: MemoryStep) -> None:
    """Do one step of a dump; each may find that it was done before."""
    match step:
        case CreateDumpClaim():
            await cluster.create_if_absent(CLAIM, _claim(step))
        case RequestMemoryDump():
            await _request(cluster, step)
        case RemoveMemoryDump():
            await _remove(cluster, step)
        case SnapshotDumpClaim():
            await cluster.create_if_absent(VOLUME_SNAPSHOT, _snapshot(step))


async def _request(cluster: Cluster, step: RequestMemoryDump) -> None:
    try:
        await cluster.put(
            VM_SUBRESOURCES, step.vm, step.namespace, subresource="memorydump", body={"claimName": step.claim}
        )
    except ClusterUnavailableError:
        raise
    except ClusterError as error:
        vm = await cluster.get(VM, step.vm, step.namespace) or {}
        request = request_of(vm)
        if request is not None and request.claim == step.claim:  # an earlier try was heard after all
            return
        patch = {"metadata": {"annotations": {REFUSED: str(error)[:1024]}}}
        await cluster.merge_patch(CLAIM, step.claim, step.namespace, patch)


async def _remove(cluster: Cluster, step: RemoveMemoryDump) -> None:
    try:
        await cluster.put(VM_SUBRESOURCES, step.vm, step.namespace, subresource="removememorydump")
    except (NotFoundError, ConflictError):  # no such VM, or nothing associated any more, or being removed
        return


def _claim(step: CreateDumpClaim) -> Manifest:
    return {
        "metadata": {"name": step.name, "namespace": step.namespace, "labels": dict(step.labels)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": str(step.size_bytes)}},
            **({"storageClassName": step.storage_class} if step.storage_class is not None else {}),
        },
    }


def _snapshot(step: SnapshotDumpClaim) -> Manifest:
    classed = {"volumeSnapshotClassName": step.snapshot_class} if step.snapshot_class else {}
    return {
        "metadata": {"name": step.name, "namespace": step.namespace, "labels": dict(step.labels)},
        "spec": {"source": {"persistentVolumeClaimName": step.claim}, **classed},
    }


def _guest_bytes(vmi: Manifest | None) -> int | None:
    """The memory that a running guest has; None for one that does not run."""
    status: Manifest = (vmi or {}).get("status") or {}
    if vmi is None or status.get("phase") != "Running":
        return None
    domain = vmi["spec"]["domain"]
    asked = (domain.get("memory") or {}).get("guest")
    requested = ((domain.get("resources") or {}).get("requests") or {}).get("memory")
    plugged = (status.get("memory") or {}).get("guestCurrent")
    return max(parse_bytes(plugged or 0), parse_bytes(asked or requested or 0))


def _dump_claims(vm: Manifest, vmi: Manifest | None) -> set[str]:
    """Claims that VM or instance have for a dump; the instance keeps a claim in its status until it is unplugged."""
    template = ((vm.get("spec") or {}).get("template") or {}).get("spec") or {}
    volumes = [*(template.get("volumes") or []), *(((vmi or {}).get("spec") or {}).get("volumes") or [])]
    plugged = ((vmi or {}).get("status") or {}).get("volumeStatus") or []
    named = {volume["memoryDump"]["claimName"] for volume in volumes if "memoryDump" in volume}
    return named | {status["memoryDumpVolume"]["claimName"] for status in plugged if status.get("memoryDumpVolume")}


def _dump_claim(claim: Manifest, owner_uid: str) -> DumpClaim:
    metadata = claim["metadata"]
    return DumpClaim(
        uid=metadata["uid"],
        ours=(metadata.get("labels") or {}).get(OWNER_UID) == owner_uid,
        deleting="deletionTimestamp" in metadata,
        refusal=(metadata.get("annotations") or {}).get(REFUSED, ""),
    )


async def _dump_snapshot(cluster: Cluster, name: str, namespace: str) -> DumpSnapshot | None:
    found = await read_volume_snapshot(cluster, name, namespace)
    if found is None:
        return None
    content = await read_content(cluster, found.content) if found.content else None
    bound = found.ready and content is not None and bool(content.handle)
    return DumpSnapshot(bound=bound, error=found.error or (content.error if content else ""))
