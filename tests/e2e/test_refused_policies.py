"""Policies that cannot run: each says why and what to do, and makes no VMBackup."""

from tests.e2e.kinds import BACKUP_POLICY, BACKUP_TARGET, VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_refused
from tests.e2e.world import World

from sandbox.cluster.client import Object
from sandbox.demo.kubectl import condition

POLICIES: dict[str, tuple[Object, str, str]] = {
    "no-cron": ({"schedule": "61 3 * * *"}, "InvalidSchedule", "five fields"),
    "no-hours": (
        {"schedule": "0 12 * * *", "windows": [{"from": "22:00", "to": "06:00"}], "startingDeadline": "1h"},
        "NoAllowedTime",
        "a longer deadline",
    ),
    "no-spread": ({"schedule": "*/5 * * * *", "spread": "1h"}, "SpreadTooLong", "a shorter spread"),
    "no-day": ({"schedule": "0 0 31 2 *"}, "InvalidSchedule", "write minute, hour"),
    "no-zone": ({"timeZone": "Europe/Atlantis"}, "UnknownTimeZone", "Europe/"),
    "no-target": (
        {"targetRef": {"kind": "ClusterBackupTarget", "name": "nowhere"}},
        "TargetNotFound",
        "create it or correct targetRef",
    ),
    "no-vm": ({"selector": {"matchLabels": {"backup": "gold"}}}, "NoVMSelected", "label the VMs"),
}


async def test_what_is_wrong_with_a_policy_is_its_reason(tenant: Tenant) -> None:
    """Schedule, time zone, target and selector: one documented reason each and a remedy; no VMBackup is made."""
    await tenant.apply(*(tenant.policy(name, **spec) for name, (spec, _, _) in POLICIES.items()))
    for name, (_, reason, remedy) in POLICIES.items():
        found = await tenant.world.ended(BACKUP_POLICY, name, tenant.name)
        assert_refused(found, reason, remedy)
    assert await tenant.world.cluster.list(VM_BACKUP, tenant.name) == []


async def test_a_target_that_does_not_serve_the_namespace_refuses_policies(world: World) -> None:
    """A namespace that `allowedNamespaces` does not select is told whom to ask."""
    async with world.tenant("unserved-policies", served=False) as tenant:
        await tenant.apply(tenant.policy("daily"))
        found = await world.ended(BACKUP_POLICY, "daily", tenant.name)
        assert_refused(found, "TargetNotAllowed", "its owner can add the namespace to spec.allowedNamespaces")


async def test_a_policy_waits_for_a_target_that_is_not_ready(tenant: Tenant) -> None:
    """A target that may still become ready stalls no policy: it is Reconciling, and names the target's own problem."""
    await tenant.apply(tenant.world.target("own", tenant.name))
    await tenant.world.ended(BACKUP_TARGET, "own", tenant.name)
    await tenant.apply(tenant.policy("daily", targetRef={"kind": "BackupTarget", "name": "own"}))
    found = await tenant.world.until(
        BACKUP_POLICY, "daily", tenant.name, lambda found: condition(found, "Ready").get("reason") == "TargetNotReady"
    )
    assert condition(found, "Reconciling")["status"] == "True"
    assert condition(found, "Stalled")["status"] == "False"
    assert f"Secret {tenant.name}/key" in condition(found, "Ready")["message"]
