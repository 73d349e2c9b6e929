"""Policies that come due."""

from typing import Any

from tests.e2e.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY, GROUP, VERSION, VM_BACKUP
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import SHARED, World

from sandbox.cluster.client import Object
from sandbox.demo.kubectl import condition

_EVERY_MINUTE = "* * * * *"


async def test_policies_make_backups_where_they_apply(world: World) -> None:
    """A cluster's policy covers the namespaces that it selects; a suspended one starts none until it is resumed."""
    async with world.tenant("gold-1") as first, world.tenant("gold-2") as second, world.tenant("lead") as other:
        for tenant in (first, second, other):
            await tenant.machine("orders", labels={"tier": "gold"})
            if tenant is not other:
                await world.kubectl.run("label", "namespace", tenant.name, "tier=gold")
        await first.machine("scratch", labels={"tier": "gold", "safehold.dev/exclude": "true"})
        spec = {
            "schedule": _EVERY_MINUTE,
            "targetRef": {"kind": "ClusterBackupTarget", "name": SHARED},
            "selector": {"matchLabels": {"tier": "gold"}},
            "namespaceSelector": {"matchLabels": {"tier": "gold"}},
        }
        await other.apply(other.policy("suspended", schedule=_EVERY_MINUTE, suspend=True))
        await world.apply(_cluster_policy("gold", spec))
        found = await world.until(CLUSTER_BACKUP_POLICY, "gold", None, _has_run, seconds=90)
        assert found["status"]["protectedMachines"] == 2
        await world.cluster.patch(CLUSTER_BACKUP_POLICY, "gold", {"spec": {"suspend": True}})
        for tenant in (first, second):
            (backup,) = await world.cluster.list(VM_BACKUP, tenant.name)
            assert backup["spec"]["vm"]["name"] == "orders"
            assert "ownerReferences" not in backup["metadata"]
            assert_ready(await world.ended(VM_BACKUP, backup["metadata"]["name"], tenant.name))

        policy = await world.ended(BACKUP_POLICY, "suspended", other.name)
        assert condition(policy, "Ready")["reason"] == "Suspended"
        assert "nextScheduleTime" not in policy["status"]
        assert await world.cluster.list(VM_BACKUP, other.name) == []
        await other.kubectl.run(
            *("patch", "backuppolicy", "suspended", "--namespace", other.name),
            *("--type=merge", "--patch", '{"spec":{"suspend":false}}'),
        )
        await world.until(BACKUP_POLICY, "suspended", other.name, _has_run)
        assert len(await world.cluster.list(VM_BACKUP, other.name)) == 1
        await world.cluster.delete(BACKUP_POLICY, "suspended", other.name)
        await world.cluster.delete(CLUSTER_BACKUP_POLICY, "gold")
        (backup,) = await world.cluster.list(VM_BACKUP, other.name)
        assert_ready(await world.ended(VM_BACKUP, backup["metadata"]["name"], other.name))
        for tenant in (first, second, other):
            await tenant.left_nothing()


def _cluster_policy(name: str, spec: Any) -> Object:
    metadata = {"name": name}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ClusterBackupPolicy", "metadata": metadata, "spec": spec}


def _has_run(policy: Object) -> bool:
    return bool((policy.get("status") or {}).get("lastScheduleTime"))
