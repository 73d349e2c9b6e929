"""Runs whose object was removed by force while nobody was there to clean up: what the doctor finds, and removes."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.e2e.kinds import VM_BACKUP, VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.patience import until_none
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    JOB,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    STORAGE_CLASS,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Kind,
)

_KINDS = (
    JOB,
    SECRET,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
)
RETAINING = "retaining"


async def _inventory(world: World) -> set[tuple[str, str, str]]:
    """Everything in the cluster that runs make, of whomever it is."""
    return {
        (kind.kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for kind in _KINDS
        for item in await world.cluster.list(kind)
    }


async def _doctor(world: World, *arguments: str) -> Object:
    command = [sys.executable, "-m", "safehold", "doctor", "--kubeconfig", str(world.kubectl.kubeconfig)]
    process = await asyncio.create_subprocess_exec(
        *command, "--output", "json", *arguments, env={**os.environ}, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    # The controller is stopped, which the doctor notices; all else is well.
    assert process.returncode in (0, 1), errors.decode()
    found: Object = json.loads(output)
    return found


async def _abandon(tenant: Tenant, kind: Kind, name: str) -> None:
    """Remove the object by force, as somebody does who takes an operator's finalizer away."""
    cluster = tenant.world.cluster
    await cluster.delete(kind, name, tenant.name)
    await cluster.patch(kind, name, {"metadata": {"finalizers": None}}, tenant.name)
    await tenant.world.until_gone(kind, name, tenant.name)


@asynccontextmanager
async def _killed_when_there_is(tenant: Tenant, kind: Kind, namespace: str, run: Object) -> AsyncIterator[None]:
    """While the controller is away, which died when the run had just made its first object of a kind."""
    world = tenant.world
    async with AsyncExitStack() as away:
        # However long it takes until the controller is gone, the run does not end before: its worker gets nowhere.
        with world.stopped("objectstore"):
            await tenant.apply(run)
            await world.one(kind, namespace, lambda found: _is_of(found, tenant))
            await away.enter_async_context(world.controller_stopped(grace_seconds=0))
        yield


def _is_of(found: Object, tenant: Tenant) -> bool:
    """Whether a run of the tenant has made it."""
    labels = found["metadata"].get("labels") or {}
    ours = labels.get("app.kubernetes.io/managed-by") == "safehold"
    return ours and labels.get("safehold.dev/owner-namespace") == tenant.name


async def _retaining_class(world: World) -> None:
    """A class whose volumes outlive their claims, as many clusters have by default."""
    if await world.cluster.get(STORAGE_CLASS, RETAINING) is None:
        found = await world.cluster.get(STORAGE_CLASS, "sandbox")
        assert found is not None
        copy: Object = {key: found[key] for key in ("provisioner", "parameters", "volumeBindingMode") if key in found}
        await world.cluster.create(STORAGE_CLASS, {**copy, "metadata": {"name": RETAINING}, "reclaimPolicy": "Retain"})


async def _same_as(world: World, before: set[tuple[str, str, str]], *, beside: tuple[Kind, ...] = ()) -> None:
    """Wait until nothing is there that was not before. What other tests' namespaces had may go meanwhile."""
    aside = {kind.kind for kind in beside}

    async def difference() -> set[tuple[str, str, str]]:
        return {found for found in await _inventory(world) - before if found[0] not in aside}

    await until_none(difference, "the cluster is not what it was")


@pytest.mark.parametrize(
    ("kind", "in_operator"),
    [(VM_SNAPSHOT, False), (VOLUME_SNAPSHOT, True), (PERSISTENT_VOLUME_CLAIM, True), (JOB, True)],
    ids=lambda value: value.kind if isinstance(value, Kind) else "",
)
async def test_what_an_abandoned_backup_left_is_found_and_removed(world: World, kind: Kind, in_operator: bool) -> None:
    """Stopped when the run has just made its first object of a kind: afterwards the cluster is what it was before."""
    await _retaining_class(world)
    async with world.tenant(f"abandoned-{kind.plural}") as tenant:
        await tenant.machine("orders", storage_class=RETAINING)
        before = await _inventory(world)
        lost = tenant.backup("lost", "orders")
        async with _killed_when_there_is(tenant, kind, OPERATOR if in_operator else tenant.name, lost):
            await _abandon(tenant, VM_BACKUP, "lost")
            orphans = (await _doctor(world))["orphans"]
            assert {orphan["madeBy"] for orphan in orphans} == {f"VMBackup {tenant.name}/lost"}
            assert kind.kind in {orphan["kind"] for orphan in orphans}
            removed = await _doctor(world, "--remove", "--yes")
            assert removed["removed"] == [{"madeBy": f"VMBackup {tenant.name}/lost", "complete": True}]
            assert (await _doctor(world))["orphans"] == []
            await _same_as(world, before)
        assert_ready(await tenant.backed_up("after", "orders"))
        await tenant.left_nothing()
        # The base of the next run is kept on purpose.
        await _same_as(world, before, beside=(VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT))


async def test_what_an_abandoned_restore_left_is_found_and_removed(tenant: Tenant) -> None:
    """Its worker, its Secret, and the volumes that it filled, also where their class retains them; nothing else."""
    world = tenant.world
    await _retaining_class(world)
    await tenant.machine("orders", storage_class=RETAINING)
    assert_ready(await tenant.backed_up("point", "orders"))
    await tenant.left_nothing()
    before = await _inventory(world)
    async with _killed_when_there_is(tenant, JOB, OPERATOR, tenant.restore("lost", {"backup": "point"}, "copy")):
        await _abandon(tenant, VM_RESTORE, "lost")
        orphans = (await _doctor(world))["orphans"]
        assert {orphan["madeBy"] for orphan in orphans} == {f"VMRestore {tenant.name}/lost"}
        await _doctor(world, "--remove", "--yes")
        await _same_as(world, before)


async def test_the_doctor_finds_a_running_installation_well(world: World) -> None:
    """With the chart's rights, real definitions and targets that work, no check fails and nothing was left behind."""
    document = await _doctor(world)
    failed = [each for each in document["checks"] if each["level"] == "fail" and each["check"] != "targets"]
    assert failed == []
    assert document["orphans"] == []
