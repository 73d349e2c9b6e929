"""What a tenant with the role `edit` in one namespace gets out of the points and targets of others: nothing."""

import json

import pytest
from tests.e2e.kinds import ALL, VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.repository import has_point
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.kinds import CONFIG_MAP, NAMESPACE, SECRET, SERVICE_ACCOUNT, VIRTUAL_MACHINE, Kind
from sandbox.demo.errors import StoryError
from sandbox.demo.kubectl import condition


async def test_nobody_but_the_controller_writes_a_status(tenant: Tenant) -> None:
    """With `edit` or `admin` in the namespace, no /status of any kind can be written; the kinds themselves can."""
    await tenant.apply(tenant.backup("forged", "absent", "nowhere"))
    await tenant.world.ended(VM_BACKUP, "forged", tenant.name)
    patch = json.dumps({"status": {"restorePoint": "0123456789abcdef-000001-0123456789abcdef"}})
    with pytest.raises(StoryError, match='cannot get resource "vmbackups/status"'):
        await tenant.kubectl.run(
            *("patch", "vmbackups.safehold.dev", "forged", "--namespace", tenant.name),
            *("--subresource=status", "--type=merge", f"--patch={patch}"),
        )
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": tenant.name}
    binding = tenant.manifest("rbac.authorization.k8s.io/v1", "RoleBinding", "tenant-admin")
    await tenant.world.apply({**binding, "roleRef": role, "subjects": [subject]})
    for kind in ALL:
        for verb in ("update", "patch"):
            assert not await _can(tenant, verb, kind, "status")
        assert await _can(tenant, "create", kind) is kind.namespaced


async def test_the_operators_secrets_are_out_of_reach(tenant: Tenant) -> None:
    """What a ClusterBackupTarget names, and what a run gets of it, lies where no tenant may read."""
    for resource in ("secrets", "pods", "persistentvolumeclaims"):
        with pytest.raises(StoryError, match="forbidden"):
            await tenant.kubectl.list(resource, OPERATOR)
    with pytest.raises(StoryError, match="forbidden"):
        await tenant.kubectl.list("clusterbackuptargets")


async def test_points_leave_a_namespace_only_with_its_consent(world: World) -> None:
    """Without the annotation, or with one for others, a restore elsewhere is refused and tells of no points."""
    async with (
        world.tenant("source", allow_restore_to="friend") as source,
        world.tenant("friend") as friend,
        world.tenant("thief") as thief,
    ):
        await source.apply(
            source.manifest("v1", "ServiceAccount", "robot"),
            {**source.manifest("v1", "ConfigMap", "settings"), "data": {"mode": "production"}},
        )
        volumes = [
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "account", "serviceAccount": {"serviceAccountName": "robot"}},
        ]
        await source.machine("orders", more_volumes=volumes)
        before = await source.digests("orders")
        assert_ready(await source.backed_up("first", "orders"))
        wanted = [{"namespace": "source", "backup": "first"}, {"namespace": "source", "vm": "orders"}]
        unknown = [{"namespace": "source", "backup": "absent"}, {"namespace": "source", "vm": "absent"}]
        messages = set()
        for number, point in enumerate([*wanted, *unknown]):
            refused = await thief.restored(f"theft-{number}", point, "loot")
            assert_refused(refused, "RestoreNotAllowed", "can annotate Namespace source")
            assert "restorePoint" not in refused["status"]
            messages.add(condition(refused, "Ready")["message"])
        assert len(messages) == 1, "a refusal must not tell which points exist"
        assert await world.cluster.get(VIRTUAL_MACHINE, "loot", "thief") is None
        with pytest.raises(StoryError, match='cannot get resource "namespaces"'):
            await thief.kubectl.run(
                "annotate", "namespace", "source", "safehold.dev/allow-restore-to=thief", "--overwrite"
            )

        assert_ready(await friend.restored("copy", wanted[1], "copy"))
        await friend.runs("copy")
        assert await friend.digests("copy") == before
        for kind, needed in ((SECRET, "orders-init"), (CONFIG_MAP, "settings"), (SERVICE_ACCOUNT, "robot")):
            assert await world.cluster.get(kind, needed, "friend") is not None, needed
        for tenant in (thief, friend):
            await tenant.left_nothing()


async def test_a_namespace_of_the_same_name_does_not_own_the_points(world: World) -> None:
    """Deleted and created again, a namespace neither sees nor may consent to restores of its predecessor's points.

    The points themselves stay in the bucket, although `deletionPolicy` is Delete: no person deleted their VMBackup.
    """
    async with world.tenant("reborn", allow_restore_to="heir") as first:
        await first.machine("orders")
        backup = await first.backed_up("first", "orders", deletionPolicy="Delete")
        assert_ready(backup)
    await world.until_gone(NAMESPACE, "reborn")
    assert has_point(world, backup)
    async with world.tenant("reborn", allow_restore_to="heir") as second, world.tenant("heir") as heir:
        await second.machine("orders")
        for tenant in (second, heir):
            refused = await tenant.restored("theft", {"namespace": "reborn", "vm": "orders"}, "loot")
            assert_refused(refused, "PointNotFound", "kubectl get vmbackups")
        again = await second.backed_up("first", "orders")
        assert_ready(again)
        assert "parent" not in again["status"], "the points of the earlier namespace are no base"
        assert again["status"]["namespaceUID"] != backup["status"]["namespaceUID"]


async def _can(tenant: Tenant, verb: str, kind: Kind, subresource: str = "") -> bool:
    attributes = {"namespace": tenant.name, "verb": verb, "group": kind.group, "resource": kind.plural}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": tenant.user, "resourceAttributes": {**attributes, "subresource": subresource}},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = await tenant.world.cluster.request("POST", path, body=review)
    return bool(answer["status"]["allowed"])
