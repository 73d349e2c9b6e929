"""Points of a BackupTarget, whose bucket and key the tenant holds: what a forged one makes a restore create."""

from typing import Any

from tests.e2e.kinds import BACKUP_TARGET, VM_RESTORE
from tests.e2e.namespace import RESTORER, Tenant
from tests.e2e.repository import forge_machine
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import CLUSTER_ROLE_BINDING, CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, VIRTUAL_MACHINE

_RBAC = "rbac.authorization.k8s.io"


def _object(api_version: str, kind: str, name: str, namespace: str | None = None, **content: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


FORGED = {
    "binding": _object(
        f"{_RBAC}/v1",
        "ClusterRoleBinding",
        "forged",
        roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        subjects=[{"kind": "Group", "name": "system:authenticated", "apiGroup": _RBAC}],
    ),
    "elsewhere": _object("v1", "Secret", "forged", "kube-system", stringData={"password": "forged"}),
    "token": _object("v1", "Secret", "forged", type="kubernetes.io/service-account-token"),
    "pod": _object("v1", "Pod", "forged", spec={"containers": [{"name": "main", "image": "busybox"}]}),
}


async def test_a_forged_point_creates_nothing_that_it_should_not(tenant: Tenant) -> None:
    """No kinds beside the allow-list, no other namespace, no tokens: such a point is refused whole."""
    world = tenant.world
    await _own_target(tenant)
    await tenant.account("restorer", RESTORER)
    await tenant.machine("orders")
    own = {"kind": "BackupTarget", "name": "own"}
    for name, forged in FORGED.items():
        backup = await tenant.backed_up(f"point-{name}", "orders", own)
        assert_ready(backup)
        forge_machine(world, backup, f"{tenant.name}/own", [forged])
    await tenant.apply(
        *(
            tenant.restore(name, {"backup": f"point-{name}"}, f"vm-{name}", serviceAccountName="restorer")
            for name in FORGED
        )
    )
    for name in FORGED:
        found = await world.ended(VM_RESTORE, name, tenant.name)
        assert_refused(found, "RestoreNotAllowed", "which a restore does not create")
        assert await world.cluster.get(VIRTUAL_MACHINE, f"vm-{name}", tenant.name) is None
    assert await world.cluster.get(CLUSTER_ROLE_BINDING, "forged") is None
    assert await world.cluster.get(SECRET, "forged", "kube-system") is None
    assert await world.cluster.get(SECRET, "forged", tenant.name) is None
    await tenant.left_nothing()


async def test_a_tenants_points_come_back_with_the_tenants_rights_only(tenant: Tenant) -> None:
    """Without a ServiceAccount, or with one that may not create all that the point holds, nothing stays created."""
    world = tenant.world
    await _own_target(tenant)
    await tenant.account("powerless", [])
    await tenant.account("restorer", RESTORER)
    await tenant.machine("orders")
    before = await tenant.digests("orders")
    own = {"kind": "BackupTarget", "name": "own"}
    assert_ready(await tenant.backed_up("first", "orders", own))
    forged = await tenant.backed_up("second", "orders", own)
    forge_machine(world, forged, f"{tenant.name}/own", [_object("v1", "ConfigMap", "extra", data={"any": "thing"})])
    claims = {item["metadata"]["name"] for item in await world.cluster.list(PERSISTENT_VOLUME_CLAIM, tenant.name)}

    nobody = await tenant.restored("nobody", {"backup": "first"}, "copy-1")
    assert_refused(nobody, "InvalidSpec", "name in spec.serviceAccountName")
    powerless = await tenant.restored("powerless", {"backup": "first"}, "copy-2", serviceAccountName="powerless")
    assert_refused(powerless, "RestoreNotAllowed", f"system:serviceaccount:{tenant.name}:powerless")
    too_weak = await tenant.restored("too-weak", {"backup": "second"}, "copy-3", serviceAccountName="restorer")
    assert_refused(too_weak, "RestoreNotAllowed", f"system:serviceaccount:{tenant.name}:restorer")
    for name in ("copy-1", "copy-2", "copy-3"):
        assert await world.cluster.get(VIRTUAL_MACHINE, name, tenant.name) is None
    assert await world.cluster.get(CONFIG_MAP, "extra", tenant.name) is None
    left = {item["metadata"]["name"] for item in await world.cluster.list(PERSISTENT_VOLUME_CLAIM, tenant.name)}
    assert left == claims
    await tenant.left_nothing()

    assert_ready(await tenant.restored("rightful", {"backup": "first"}, "copy-4", serviceAccountName="restorer"))
    await tenant.runs("copy-4")
    assert await tenant.digests("copy-4") == before


async def test_a_point_of_another_owner_is_not_restored(tenant: Tenant) -> None:
    """What the sealed manifest says counts: a point that was put in the place of another VM's is refused."""
    await _own_target(tenant)
    await tenant.account("restorer", RESTORER)
    await tenant.machine("orders")
    backup = await tenant.backed_up("first", "orders", {"kind": "BackupTarget", "name": "own"})
    assert_ready(backup)
    forge_machine(tenant.world, backup, f"{tenant.name}/own", [], vm_uid="00000000-0000-0000-0000-000000000000")
    found = await tenant.restored("stolen", {"backup": "first"}, "copy", serviceAccountName="restorer")
    assert_refused(found, "PointNotYours", "belongs to another VM")
    await tenant.left_nothing()


async def _own_target(tenant: Tenant) -> None:
    world = tenant.world
    await world.secret(tenant.name, "credentials", world.access)
    await world.secret(tenant.name, "key", {"repository.key": world.key.text()})
    await tenant.apply(world.target("own", tenant.name))
    assert_ready(await world.ended(BACKUP_TARGET, "own", tenant.name))
