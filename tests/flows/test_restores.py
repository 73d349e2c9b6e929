"""Restores with real parts: a controller process, workers, an object store, volumes and their controllers."""

import signal
from typing import Any

from tests.flows.conftest import Machinery
from tests.flows.live_cluster import OPERATOR, LiveCluster, ready

from safehold.kube.client import Manifest
from safehold.kube.kinds import BACKUP_TARGET, CLAIM, NAMESPACE, SECRET, VM, VM_RESTORE, VOLUME

ALL_VERBS = ["get", "create", "patch", "delete"]
RESTORER = [
    {"apiGroups": [""], "resources": ["persistentvolumeclaims", "secrets"], "verbs": ALL_VERBS},
    {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines"], "verbs": ALL_VERBS},
]


async def prepared(live: LiveCluster, namespace: str, **annotations: str) -> tuple[str, str]:
    """A namespace with VM orders and its backup `first`; the digests of its two disks as they were backed up."""
    await live.namespace(namespace, **annotations)
    await live.machine(namespace, "orders")
    digests = await live.digest(namespace, "orders-data"), await live.digest(namespace, "orders-files")
    assert ready(await live.backup(namespace, "first", "orders"))[0] == "True"
    return digests


async def scribbled(live: LiveCluster, namespace: str) -> tuple[str, str]:
    """Spoil both disks; their digests then."""
    for claim in ("orders-data", "orders-files"):
        await live.scribble(namespace, claim)
    return await live.digest(namespace, "orders-data"), await live.digest(namespace, "orders-files")


async def digests_of(live: LiveCluster, namespace: str, restore: Manifest) -> tuple[str, ...]:
    """What the claims of a restore hold, in the order data, files."""
    volumes = {volume["name"]: volume["claimName"] for volume in restore["status"]["volumes"]}
    return tuple([await live.digest(namespace, volumes[name]) for name in ("data", "files")])


async def test_in_place_every_bit_comes_back(live: LiveCluster) -> None:
    """Block and Filesystem disks are as at the capture, the VM runs, the replaced volumes are kept and named."""
    before = await prepared(live, "place")
    spoilt = await scribbled(live, "place")
    await live.restore("place", "back", source={"vm": "orders"})
    ended = await live.ended(VM_RESTORE, "back", "place")
    assert ready(ended)[:2] == ("True", "Succeeded")
    assert await digests_of(live, "place", ended) == before
    assert before != spoilt
    await live.runs("place", "orders")
    labels = {"safehold.dev/undo-of": ended["metadata"]["uid"]}
    kept = await live.cluster.list(VOLUME, labels=labels)
    assert [volume["spec"]["persistentVolumeReclaimPolicy"] for volume in kept] == ["Retain", "Retain"]
    assert (await live.cluster.read(CLAIM, "orders-data", "place"))["metadata"]["labels"]["app"] == "orders"
    assert not await live.leftovers()


async def test_a_new_vm_in_a_namespace_that_the_source_allows(live: LiveCluster) -> None:
    """The copy has the disks of the point and the Secret it needs; elsewhere the same restore is refused."""
    before = await prepared(live, "giver", allow_restore_to="taker")
    await live.namespace("taker")
    await live.namespace("thief")
    for namespace in ("taker", "thief"):
        await live.restore(namespace, "copy", mode="NewVM", vm="copy", source={"vm": "orders", "namespace": "giver"})
    ended = await live.ended(VM_RESTORE, "copy", "taker")
    assert ready(ended)[0] == "True"
    assert await digests_of(live, "taker", ended) == before
    await live.runs("taker", "copy")
    assert await live.cluster.get(SECRET, "orders-init", "taker") is not None
    refused = await live.ended(VM_RESTORE, "copy", "thief")
    assert ready(refused)[:2] == ("False", "RestoreNotAllowed")
    assert not await live.cluster.list(CLAIM, "thief")
    assert not await live.leftovers()


async def test_refusals_change_nothing(live: LiveCluster) -> None:
    """Points that do not exist, VMs that do or do not, each with its reason; the VM goes on running."""
    await prepared(live, "refuses")
    await live.machine("refuses", "web")
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "no-backup": ("PointNotFound", {"source": {"backup": "none"}}),
        "no-time": ("PointNotFound", {"source": {"vm": "orders", "before": "2020-01-01T00:00:00Z"}}),
        "exists": ("VMExists", {"source": {"vm": "orders"}, "mode": "NewVM", "vm": "web"}),
        "another": ("PointNotYours", {"source": {"vm": "orders"}, "vm": "web"}),
        "nobody": ("VMNotFound", {"source": {"vm": "orders"}, "vm": "nobody"}),
    }
    for name, (_, spec) in wanted.items():
        await live.restore("refuses", name, **spec)
    for name, (reason, _) in wanted.items():
        assert ready(await live.ended(VM_RESTORE, name, "refuses"))[:2] == ("False", reason)
    for vm in ("orders", "web"):
        assert (await live.cluster.read(VM, vm, "refuses"))["spec"]["runStrategy"] == "Always"
    assert not await live.leftovers()


async def test_a_controller_that_is_killed_goes_on_where_it_was(live: LiveCluster, machinery: Machinery) -> None:
    """Killed in each phase of a restore in place, the next controller ends it well."""
    before = await prepared(live, "killed")
    for number, phase in enumerate(("Stopping", "Filling", "HandingOver", "Starting")):
        await scribbled(live, "killed")
        name = f"back-{number}"
        await live.restore("killed", name, source={"backup": "first"})
        await live.until(VM_RESTORE, name, "killed", _has_reached(phase))
        machinery.controller.end(signal.SIGKILL)
        machinery.controller.start()
        ended = await live.ended(VM_RESTORE, name, "killed")
        assert ready(ended)[0] == "True", ready(ended)
        assert await digests_of(live, "killed", ended) == before
        await live.runs("killed", "orders")
    assert not await live.leftovers()


PHASES = ("Preparing", "Stopping", "Filling", "HandingOver", "Starting", "Completed")


def _has_reached(phase: str) -> Any:
    """Whether a restore in place is in that phase, or already further."""
    return lambda found: PHASES.index(found["status"].get("phase") or "Preparing") >= PHASES.index(phase)


async def test_a_restore_that_is_deleted_takes_everything_back(live: LiveCluster) -> None:
    """Deleted while it is filled, a restore leaves the VM running on its own disks, and nothing else."""
    await prepared(live, "cancels")
    spoilt = await scribbled(live, "cancels")
    await live.restore("cancels", "back", source={"vm": "orders"})
    await live.until(VM_RESTORE, "back", "cancels", _has_reached("Stopping"))
    await live.cluster.delete(VM_RESTORE, "back", "cancels")
    await live.until_gone(VM_RESTORE, "back", "cancels")
    assert not await live.leftovers()
    vm = await live.cluster.read(VM, "orders", "cancels")
    assert vm["spec"]["runStrategy"] == "Always"
    disks = await live.digest("cancels", "orders-data"), await live.digest("cancels", "orders-files")
    kept = await live.cluster.list(VOLUME, labels="safehold.dev/undo-of")
    if not [volume for volume in kept if volume["spec"]["claimRef"]["namespace"] == "cancels"]:
        assert disks == spoilt


async def test_a_namespace_that_ends_in_the_middle_is_not_held_up(live: LiveCluster) -> None:
    """A namespace that is deleted during a restore goes, and nothing of the restore stays behind."""
    await prepared(live, "lives", allow_restore_to="ends")
    await live.namespace("ends")
    await live.restore("ends", "copy", mode="NewVM", vm="copy", source={"vm": "orders", "namespace": "lives"})
    await live.until(VM_RESTORE, "copy", "ends", lambda found: found["status"].get("phase") == "Filling")
    await live.cluster.delete(NAMESPACE, "ends")
    await live.until_gone(NAMESPACE, "ends")
    assert not await live.leftovers()


async def test_volumes_that_wait_for_their_first_consumer(live: LiveCluster) -> None:
    """With a WaitForFirstConsumer class the worker is the consumer that places the new volumes."""
    await live.namespace("late")
    await live.machine("late", "orders", storage_class="sandbox-wait")
    before = await live.digest("late", "orders-data"), await live.digest("late", "orders-files")
    assert ready(await live.backup("late", "first", "orders"))[0] == "True"
    await scribbled(live, "late")
    await live.restore("late", "back", source={"vm": "orders"})
    ended = await live.ended(VM_RESTORE, "back", "late")
    assert ready(ended)[0] == "True", ready(ended)
    assert await digests_of(live, "late", ended) == before


async def test_points_of_a_tenants_target_come_back_with_the_tenants_rights(live: LiveCluster) -> None:
    """A BackupTarget's point is refused without a ServiceAccount, and with one that may nothing; rights are enough."""
    await live.namespace("tenant")
    await live.secret("tenant", "credentials", **live.access)
    await live.secret("tenant", "key", repository_key=live.key)
    target = live.target("own", BACKUP_TARGET)
    target["metadata"]["namespace"] = "tenant"
    await live.cluster.create(BACKUP_TARGET, target)
    await live.until(BACKUP_TARGET, "own", "tenant", lambda found: ready(found)[0] == "True")
    await live.machine("tenant", "orders")
    before = await live.digest("tenant", "orders-data"), await live.digest("tenant", "orders-files")
    assert (
        ready(await live.backup("tenant", "first", "orders", target={"kind": "BackupTarget", "name": "own"}))[0]
        == "True"
    )
    await live.account("tenant", "powerless", [])
    await live.account("tenant", "restorer", RESTORER)
    point: dict[str, Any] = {"mode": "NewVM", "source": {"vm": "orders"}}
    await live.restore("tenant", "nobody", vm="copy-1", **point)
    await live.restore("tenant", "powerless", vm="copy-2", serviceAccountName="powerless", **point)
    await live.restore("tenant", "rightful", vm="copy-3", serviceAccountName="restorer", **point)
    assert ready(await live.ended(VM_RESTORE, "nobody", "tenant"))[:2] == ("False", "InvalidSpec")
    refused = ready(await live.ended(VM_RESTORE, "powerless", "tenant"))
    assert refused[:2] == ("False", "RestoreNotAllowed")
    assert "system:serviceaccount:tenant:powerless" in refused[2]
    ended = await live.ended(VM_RESTORE, "rightful", "tenant")
    assert ready(ended)[0] == "True", ready(ended)
    assert await digests_of(live, "tenant", ended) == before
    assert await live.cluster.get(VM, "copy-2", "tenant") is None
    assert not await live.leftovers()
    assert not [name for name in await _secrets(live, OPERATOR) if name not in ("credentials", "key")]


async def _secrets(live: LiveCluster, namespace: str) -> list[str]:
    return [found["metadata"]["name"] for found in await live.cluster.list(SECRET, namespace)]
