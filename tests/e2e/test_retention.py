"""Retention in a cluster: a maintenance forgets what the policy's rules let go, and the policy tells what goes next."""

from datetime import UTC, datetime
from typing import Any

from tests.e2e.kinds import BACKUP_POLICY, CLUSTER_BACKUP_TARGET, VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.repository import has_point
from tests.e2e.verdicts import assert_ready

from safehold.plan.names import backup_labels, backup_name
from safehold.plan.policy.facts import RUN, run_label
from sandbox.cluster.client import Object
from sandbox.demo.kubectl import is_ready

TARGET = "tidied"
PREFIX = f"cluster/{TARGET}"


async def test_a_policys_points_go_by_its_rules(tenant: Tenant) -> None:
    """With keepLast 1 the older point goes with its VMBackup; the newest, a held one and one made by hand stay."""
    world = tenant.world
    await world.apply(world.target(TARGET, maintenance={"schedule": "* * * * *", "suspend": True}))
    await tenant.machine("orders")
    await world.until(CLUSTER_BACKUP_TARGET, TARGET, None, is_ready)
    reference = {"kind": "ClusterBackupTarget", "name": TARGET}
    await tenant.apply(tenant.policy("gold", targetRef=reference, retention={"keepLast": 1}))
    policy = await world.until(BACKUP_POLICY, "gold", tenant.name, bool)
    held = await _backed_up_by(tenant, policy, 1, hold=True)
    older = await _backed_up_by(tenant, policy, 2, deletionPolicy="Delete")
    newest = await _backed_up_by(tenant, policy, 3)
    by_hand = await tenant.backed_up("by-hand", "orders", TARGET)
    assert_ready(by_hand)

    await world.cluster.patch(CLUSTER_BACKUP_TARGET, TARGET, {"spec": {"maintenance": {"suspend": False}}})
    await world.until(CLUSTER_BACKUP_TARGET, TARGET, None, _is_maintained)
    await world.cluster.patch(CLUSTER_BACKUP_TARGET, TARGET, {"spec": {"maintenance": {"suspend": True}}})
    await world.until_gone(VM_BACKUP, older["metadata"]["name"], tenant.name)
    kept = [backup["metadata"]["name"] for backup in (held, newest, by_hand) if has_point(world, backup, PREFIX)]
    assert kept == [backup["metadata"]["name"] for backup in (held, newest, by_hand)]
    assert not has_point(world, older, PREFIX)

    preview = (await world.until(BACKUP_POLICY, "gold", tenant.name, _is_previewed))["status"]["retentionPreview"]
    (coming,) = preview["next"]
    assert coming["restorePoint"] == newest["status"]["restorePoint"]
    assert coming["deletionTime"].endswith("-01-01T00:00:00Z")
    assert "keepLast 1" in coming["reason"]

    name = held["metadata"]["name"]
    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", name, "--namespace", tenant.name, "--wait=false")
    await world.until(VM_BACKUP, name, tenant.name, lambda found: found["status"]["phase"] == "Held")
    release = '{"spec":{"hold":false}}'
    patch = ("patch", "vmbackups.safehold.dev", name, "--namespace", tenant.name, "--type=merge", "--patch", release)
    await tenant.kubectl.run(*patch)
    await world.until_gone(VM_BACKUP, name, tenant.name)
    assert has_point(world, held, PREFIX)
    await world.cluster.delete(CLUSTER_BACKUP_TARGET, TARGET)
    await tenant.left_nothing()


async def _backed_up_by(tenant: Tenant, policy: Object, day: int, **spec: Any) -> Object:
    """A point as the policy's run of that day makes it."""
    uid, run = policy["metadata"]["uid"], datetime(2026, 1, day, tzinfo=UTC)
    name = backup_name(uid, "orders", run)
    backup = tenant.backup(name, "orders", TARGET, **spec)
    backup["metadata"]["labels"] = {**backup_labels(uid, "gold", "orders"), RUN: run_label(run)}
    await tenant.apply(backup)
    found = await tenant.world.ended(VM_BACKUP, name, tenant.name)
    assert_ready(found)
    return found


def _is_maintained(target: Object) -> bool:
    return "lastSuccessfulTime" in target["status"].get("maintenance", {})


def _is_previewed(policy: Object) -> bool:
    return "retentionPreview" in policy.get("status", {})
