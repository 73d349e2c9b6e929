"""Reads what a restore's plan needs to know of the cluster beyond the VM: quotas, kinds, addresses, names, past speeds.

Only what the plan at hand depends on is read; lists of all namespaces come page by page.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from safehold.api import VMBackup, VMRestore
from safehold.errors import NotFoundError, NotServedError
from safehold.kube.backup.dependencies import references
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    NETWORK_ATTACHMENT,
    RESOURCE_QUOTA,
    STORAGE_PROFILE,
    VM,
    VM_BACKUP,
    VM_RESTORE,
    VMI,
    VOLUME_SNAPSHOT_CLASS,
    Kind,
)
from safehold.kube.restore.restorable import RESTORABLE
from safehold.kube.restore.snapshots import observe_ways
from safehold.kube.virtualmachines import is_running
from safehold.plan.conditions import READY, is_true
from safehold.plan.quantities import parse_bytes
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import admit
from safehold.plan.restore.facts import Ways
from safehold.plan.restore.look import Look
from safehold.plan.restore.machine.manifest import Machine, key
from safehold.plan.restore.plan.estimate import measured, measured_backup
from safehold.plan.restore.plan.machine_conflicts import addresses_of
from safehold.plan.restore.plan.making import admitted, planned_machine
from safehold.plan.restore.plan.surroundings import AddressHolder, PastBackup, PastRestore, Quota, Surroundings

_PAST_RUNS = 20
"""The newest of them: older ones were with other hardware, or another release."""


async def observe_surroundings(cluster: Cluster, look: Look) -> tuple[Surroundings, Mapping[str, Ways]]:
    """What `make_plan` needs of a restore that is about to be admitted; of one that is refused, nothing.

    With it what each of its volumes could be made from.
    """
    admission = admit(look.restore, look.point, look.seen)
    if isinstance(admission, Refusal):
        return Surroundings(), {}
    begun = admitted(look, admission)
    machine = planned_machine(begun)
    if isinstance(machine, Refusal):
        return Surroundings(), {}
    live = await _live_vm(cluster, begun) if look.in_place else None
    vm = live or (machine.vm if machine else None)
    past = await _past(cluster, look.restore, begun)
    ways = await observe_ways(cluster, begun.restore, None, operator_namespace=look.seen.operator_namespace)
    around = Surroundings(
        quotas=await _quotas(cluster, (look.seen.namespace.name, look.seen.operator_namespace)),
        served=await _served(cluster, machine) if machine else {},
        existing=await _existing(cluster, vm) if vm else {},
        dependencies=await _dependencies(cluster, machine) if machine else {},
        addresses=await _holders(cluster, addresses_of(machine.vm)) if machine else (),
        claim_sets=await _claim_sets(cluster, {volume.storage_class_name for volume in begun.status.volumes}),
        snapshot_drivers=await _snapshot_drivers(cluster),
        vm_metadata=live["metadata"] if live else {},
        past=past,
        past_backups=() if past else await _past_backups(cluster, begun),
    )
    return around, ways


async def _snapshot_drivers(cluster: Cluster) -> frozenset[str]:
    try:
        return frozenset(str(found["driver"]) for found in await cluster.list(VOLUME_SNAPSHOT_CLASS))
    except NotServedError:
        return frozenset()


async def _live_vm(cluster: Cluster, look: Look) -> Manifest | None:
    assert look.status.vm is not None
    return await cluster.get(VM, look.status.vm.name, look.seen.namespace.name)


async def _quotas(cluster: Cluster, namespaces: Iterable[str]) -> list[Quota]:
    found = [quota for namespace in namespaces for quota in await cluster.list(RESOURCE_QUOTA, namespace)]
    return [_quota(quota) for quota in found if not _is_scoped(quota)]


def _is_scoped(quota: Manifest) -> bool:
    """Scopes select pods, of which a restore makes none that stays."""
    return bool(quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"))


def _quota(quota: Manifest) -> Quota:
    status = quota.get("status") or {}
    return Quota(
        namespace=quota["metadata"]["namespace"],
        name=quota["metadata"]["name"],
        hard=_amounts(status.get("hard") or quota["spec"].get("hard") or {}),
        used=_amounts(status.get("used") or {}),
    )


def _amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    return {name: parse_bytes(quantity) for name, quantity in quantities.items()}


async def _served(cluster: Cluster, machine: Machine) -> dict[str, frozenset[str]]:
    """Of every version that the machine is written in; and of its group's others, where it is not served so."""
    served: dict[str, frozenset[str]] = {}
    for manifest in (machine.vm, *machine.dependencies):
        version = str(manifest["apiVersion"])
        if version not in served:
            served[version] = await _kinds(cluster, version)
        if manifest["kind"] not in served[version]:
            others = set(await _versions(cluster, version)) - served.keys()
            served |= {other: await _kinds(cluster, other) for other in others}
    return served


async def _kinds(cluster: Cluster, version: str) -> frozenset[str]:
    answer = await _discover(cluster, f"/apis/{version}" if "/" in version else f"/api/{version}")
    return frozenset(str(resource["kind"]) for resource in answer.get("resources") or ())


async def _versions(cluster: Cluster, version: str) -> list[str]:
    answer = await _discover(cluster, f"/apis/{version.rpartition('/')[0]}") if "/" in version else {}
    return [str(each["groupVersion"]) for each in answer.get("versions") or ()]


async def _discover(cluster: Cluster, path: str) -> Manifest:
    try:
        answer: Manifest = await cluster.connection.json("GET", path, doing=f"find out what is served at {path}")
    except (NotFoundError, NotServedError):
        return {}
    return answer


async def _existing(cluster: Cluster, vm: Manifest) -> dict[tuple[str, str], bool]:
    """Of everything that the VM names, also a network of another namespace."""
    namespace = vm["metadata"]["namespace"]
    found = {
        (kind.kind, name): await _exists(cluster, kind, name, namespace if kind.namespaced else None)
        for kind, name in set(references(vm))
    }
    for network in ((vm["spec"]["template"].get("spec") or {}).get("networks")) or ():
        owner, _, name = str((network.get("multus") or {}).get("networkName") or "").rpartition("/")
        if owner not in ("", namespace):
            is_there = await _exists(cluster, NETWORK_ATTACHMENT, name, owner)
            found[NETWORK_ATTACHMENT.kind, f"{owner}/{name}"] = is_there
    return found


async def _exists(cluster: Cluster, kind: Kind, name: str, namespace: str | None) -> bool:
    try:
        return await cluster.get(kind, name, namespace) is not None
    except NotServedError:
        return False


async def _dependencies(cluster: Cluster, machine: Machine) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for manifest in machine.dependencies:
        metadata = manifest["metadata"]
        try:
            existing = await cluster.get(RESTORABLE[manifest["kind"]], metadata["name"], metadata["namespace"])
        except NotServedError:
            continue
        if existing is not None:
            found[key(manifest)] = existing
    return found


async def _holders(cluster: Cluster, addresses: set[str]) -> list[AddressHolder]:
    """Who in the cluster has one of the addresses: a VM, or an instance, which may have no VM."""
    if not addresses:
        return []
    held: dict[tuple[str, str, str], bool] = {}
    for kind in (VM, VMI):
        async for page in cluster.pages(kind):
            for found in page.items:
                place = found["metadata"]["namespace"], found["metadata"]["name"]
                for address in addresses & addresses_of(found):
                    held[(*place, address)] = kind is VMI and is_running(found)
    return [
        AddressHolder(namespace=namespace, name=name, address=address, runs=runs)
        for (namespace, name, address), runs in sorted(held.items())
    ]


async def _claim_sets(cluster: Cluster, classes: Iterable[str | None]) -> dict[str, frozenset[tuple[str, str]]]:
    """What CDI says that the classes can do; nothing where it is not installed."""
    sets: dict[str, frozenset[tuple[str, str]]] = {}
    for name in sorted(filter(None, classes)):
        try:
            profile = await cluster.get(STORAGE_PROFILE, name)
        except NotServedError:
            return {}
        status = (profile or {}).get("status") or {}
        pairs = {
            (mode, str(claims.get("volumeMode") or "Filesystem"))
            for claims in status.get("claimPropertySets") or ()
            for mode in claims.get("accessModes") or ()
        }
        if pairs:
            sets[name] = frozenset(pairs)
    return sets


async def _past(cluster: Cluster, restore: VMRestore, look: Look) -> list[PastRestore]:
    """The newest restores from the same target that went well; of a tenant's own target, those of the namespace."""
    target = look.point.target_ref
    namespace = None if target.kind == "ClusterBackupTarget" else restore.metadata.namespace
    ended: list[tuple[object, PastRestore]] = []
    async for page in cluster.pages(VM_RESTORE, namespace):
        for found in page.items:
            status = VMRestore.model_validate(found).status
            if status.point is not None and status.point.target_ref == target and (past := measured(status)):
                ended.append((status.completion_time, past))
    ended.sort(key=lambda pair: str(pair[0]), reverse=True)
    return [past for _, past in ended[:_PAST_RUNS]]


async def _past_backups(cluster: Cluster, look: Look) -> list[PastBackup]:
    """The newest complete backups of the VM's namespace to the point's target; none where it is not of this cluster."""
    point = look.point
    ended: list[tuple[datetime, PastBackup]] = []
    async for page in cluster.pages(VM_BACKUP, point.vm.namespace):
        for found in page.items:
            backup = VMBackup.model_validate(found)
            at, past = backup.status.completion_time, measured_backup(backup.status)
            if backup.spec.target_ref == point.target_ref and at and past and is_true(backup.status.conditions, READY):
                ended.append((at, past))
    ended.sort(key=lambda pair: pair[0], reverse=True)
    return [past for _, past in ended[:_PAST_RUNS]]
