"""Policies that come due."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from tests.e2e.kinds import (
    BACKUP_POLICY,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    GROUP,
    VERSION,
    VM_BACKUP,
)
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import SHARED, World

from safehold.plan.policy.facts import RUN
from sandbox.cluster.client import Object
from sandbox.demo.kubectl import condition, is_ready

_EVERY_MINUTE = "* * * * *"


async def test_policies_make_backups_where_they_apply(world: World) -> None:
    """A cluster's policy covers the namespaces that it selects; a suspended one starts none until it is resumed."""
    async with world.tenant("gold-1") as first, world.tenant("gold-2") as second, world.tenant("lead") as other:
        await asyncio.gather(
            *(tenant.machine("orders", labels={"tier": "gold"}) for tenant in (first, second, other)),
            first.machine("scratch", labels={"tier": "gold", "safehold.dev/exclude": "true"}),
        )
        for tenant in (first, second):
            await world.kubectl.run("label", "namespace", tenant.name, "tier=gold")
        spec = {
            "schedule": _EVERY_MINUTE,
            "targetRef": {"kind": "ClusterBackupTarget", "name": SHARED},
            "selector": {"matchLabels": {"tier": "gold"}},
            "namespaceSelector": {"matchLabels": {"tier": "gold"}},
        }
        await other.apply(other.policy("suspended", schedule=_EVERY_MINUTE, suspend=True))
        await world.apply(_cluster_policy("gold", spec))
        found = await world.until(CLUSTER_BACKUP_POLICY, "gold", None, _has_run)
        assert found["status"]["matchedMachines"] == 2
        await world.cluster.patch(CLUSTER_BACKUP_POLICY, "gold", {"spec": {"suspend": True}})
        for tenant in (first, second):
            for backup in await _one_of_each_run(tenant):
                assert "ownerReferences" not in backup["metadata"]
                assert_ready(await world.ended(VM_BACKUP, backup["metadata"]["name"], tenant.name))
        covered = await world.until(CLUSTER_BACKUP_POLICY, "gold", None, _protects_two)
        assert (covered["status"]["excludedMachines"], covered["status"]["awaitedMachines"]) == (1, [])

        policy = await world.ended(BACKUP_POLICY, "suspended", other.name)
        assert condition(policy, "Ready")["reason"] == "Suspended"
        assert "nextScheduleTime" not in policy["status"]
        assert await world.cluster.list(VM_BACKUP, other.name) == []
        await other.kubectl.run(
            *("patch", "backuppolicy", "suspended", "--namespace", other.name),
            *("--type=merge", "--patch", '{"spec":{"suspend":false}}'),
        )
        await world.until(BACKUP_POLICY, "suspended", other.name, _has_run)
        await world.cluster.delete(BACKUP_POLICY, "suspended", other.name)
        await world.cluster.delete(CLUSTER_BACKUP_POLICY, "gold")
        for backup in await _one_of_each_run(other):
            assert_ready(await world.ended(VM_BACKUP, backup["metadata"]["name"], other.name))
        for tenant in (first, second, other):
            await tenant.left_nothing()


async def test_a_run_is_asked_for_outside_of_the_windows(tenant: Tenant) -> None:
    """Hours that are closed and a spread hold every scheduled run up; a new value of the annotation starts one now."""
    world, name = tenant.world, tenant.name
    await asyncio.gather(*(tenant.machine(vm) for vm in ("orders", "web")))
    # Closed for more than a day from now, whenever the test runs, and open two days later.
    day = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
    spec = {
        "schedules": [
            {"name": "often", "schedule": _EVERY_MINUTE, "spread": "50s"},
            {"name": "daily", "schedule": "@daily"},
        ],
        "windows": [{"days": [day], "from": "00:00", "to": "24:00"}],
    }
    policy = tenant.policy("quiet", **spec)
    del policy["spec"]["schedule"]
    await tenant.apply(policy)
    found = await world.ended(BACKUP_POLICY, "quiet", name)
    assert condition(found, "Ready")["reason"] == "Scheduled"
    assert found["status"]["nextScheduleTime"] > (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert [tier["name"] for tier in found["status"]["tiers"]] == ["often", "daily"]
    assert await world.cluster.list(VM_BACKUP, name) == []
    for value in ("before-upgrade", "before-upgrade", "after-upgrade"):
        await tenant.kubectl.run(
            *("annotate", "--overwrite", "backuppolicy", "quiet", "--namespace", name),
            f"safehold.dev/run-now={value}",
        )
        await world.until(BACKUP_POLICY, "quiet", name, partial(_has_run_for, value))
        for backup in await world.cluster.list(VM_BACKUP, name):
            assert_ready(await world.ended(VM_BACKUP, backup["metadata"]["name"], name))
    backups = await world.cluster.list(VM_BACKUP, name)
    assert sorted(backup["spec"]["vm"]["name"] for backup in backups) == ["orders", "orders", "web", "web"]
    await world.cluster.delete(BACKUP_POLICY, "quiet", name)
    await tenant.left_nothing()


async def test_the_runs_of_a_target_take_fair_turns(world: World) -> None:
    """With `maxActiveRuns: 1` four backups follow each other, and the namespace with one VM is not kept to the last."""
    async with world.tenant("many") as many, world.tenant("few") as few:
        await world.apply(world.target("narrow", maxActiveRuns=1))
        for tenant in (many, few):
            await world.kubectl.run("label", "namespace", tenant.name, "turns=fair")
        await asyncio.gather(*(many.machine(vm) for vm in ("orders", "stock", "web")), few.machine("orders"))
        await world.until(CLUSTER_BACKUP_TARGET, "narrow", None, is_ready)
        spec = {
            "schedule": "0 0 1 1 *",
            "targetRef": {"kind": "ClusterBackupTarget", "name": "narrow"},
            "namespaceSelector": {"matchLabels": {"turns": "fair"}},
        }
        await world.apply(_cluster_policy("fair", spec, {"safehold.dev/run-now": "all"}))
        await world.until(CLUSTER_BACKUP_POLICY, "fair", None, partial(_has_run_for, "all"))
        ended = [
            await world.ended(VM_BACKUP, backup["metadata"]["name"], tenant.name)
            for tenant in (many, few)
            for backup in await world.cluster.list(VM_BACKUP, tenant.name)
        ]
        for backup in ended:
            assert_ready(backup)
        spans = sorted((backup["status"]["startTime"], backup["status"]["completionTime"]) for backup in ended)
        assert len(spans) == 4
        assert all(later[0] >= earlier[1] for earlier, later in pairwise(spans))
        first_two = sorted(ended, key=lambda backup: str(backup["status"]["startTime"]))[:2]
        assert few.name in {backup["metadata"]["namespace"] for backup in first_two}
        await world.cluster.delete(CLUSTER_BACKUP_POLICY, "fair")
        for tenant in (many, few):
            await tenant.left_nothing()
        await world.cluster.delete(CLUSTER_BACKUP_TARGET, "narrow")


async def _one_of_each_run(tenant: Tenant) -> list[Object]:
    """The tenant's VMBackups: of VM orders alone, and one for each run that has begun."""
    backups = await tenant.world.cluster.list(VM_BACKUP, tenant.name)
    assert {backup["spec"]["vm"]["name"] for backup in backups} == {"orders"}
    assert len({backup["metadata"]["labels"][RUN] for backup in backups}) == len(backups)
    return backups


def _cluster_policy(name: str, spec: Any, annotations: dict[str, str] | None = None) -> Object:
    metadata = {"name": name, "annotations": annotations or {}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ClusterBackupPolicy", "metadata": metadata, "spec": spec}


def _has_run(policy: Object) -> bool:
    return bool((policy.get("status") or {}).get("lastScheduleTime"))


def _protects_two(policy: Object) -> bool:
    """Whether the points of both VMs are known."""
    return (policy.get("status") or {}).get("protectedMachines") == 2


def _has_run_for(value: str, policy: Object) -> bool:
    """Whether the run that was asked for has begun, for all VMs at once."""
    status = policy.get("status") or {}
    asked = status.get("runNow") or {}
    return bool(asked) and asked["value"] == value and status.get("lastScheduleTime") == asked["time"]
