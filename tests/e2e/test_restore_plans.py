"""Restores that are planned first: what a dry run says is what is found in the cluster after it was carried out."""

from tests.e2e.kinds import VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    SERVICE_ACCOUNT,
    VIRTUAL_MACHINE,
    Kind,
)

RESOURCE_QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
MAC = "02:00:00:5a:fe:01"
KINDS = (CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, SERVICE_ACCOUNT, VIRTUAL_MACHINE)
Objects = dict[tuple[str, str], str]
"""Kind and name → uid."""


async def test_a_new_vm_is_what_its_dry_run_planned(tenant: Tenant) -> None:
    """What blocks it is told and nothing is created; planned well, exactly the objects of the plan are created."""
    cluster = tenant.world.cluster
    await machine_with_address(tenant)
    before = await objects(tenant)
    await cluster.create(
        RESOURCE_QUOTA, tenant.manifest("v1", "ResourceQuota", "small", {"hard": {"requests.storage": "16Mi"}})
    )
    await tenant.world.until(RESOURCE_QUOTA, "small", tenant.name, lambda found: "used" in found.get("status", {}))
    blocked = await planned(tenant, "blocked", new_vm="copy", identity={"macAddresses": "Keep"})
    reasons = [(each["severity"], each["reason"]) for each in blocked["status"]["plan"]["conflicts"]]
    assert reasons == [("Blocks", "QuotaExceeded"), ("Warns", "AddressInUse")]
    assert_refused(blocked, "QuotaExceeded", "raise it")
    await cluster.delete(RESOURCE_QUOTA, "small", tenant.name)

    plan = (await planned(tenant, "copied", new_vm="copy"))["status"]["plan"]
    assert plan["consistency"] == "Crash"
    assert plan["bytesToWrite"] == 2 * 16 * 1024**2
    assert "conflicts" not in plan or plan["conflicts"] == []
    assert await objects(tenant) == before
    await tenant.left_nothing()

    assert_ready(await carried_out(tenant, "copied"))
    after = await objects(tenant)
    assert after.keys() - before.keys() == names(tenant, plan, "Create")
    assert {key: after[key] for key in before} == before


async def test_a_restore_in_place_does_what_it_planned_or_nothing(tenant: Tenant) -> None:
    """A VM that was stopped since the dry run is another plan; planned anew, what it names is replaced, and no more."""
    cluster = tenant.world.cluster
    await machine_with_address(tenant)
    stale = await planned(tenant, "stale")
    assert [each["reason"] for each in stale["status"]["plan"]["conflicts"]] == ["VMRuns"]
    await cluster.patch(VIRTUAL_MACHINE, "orders", {"spec": {"runStrategy": "Halted"}}, tenant.name)
    before = await objects(tenant)
    assert_refused(await carried_out(tenant, "stale"), "PlanChanged", "Change VirtualMachine")
    assert await objects(tenant) == before

    await tenant.world.until(VIRTUAL_MACHINE, "orders", tenant.name, lambda vm: not vm["status"].get("created"))
    plan = (await planned(tenant, "back"))["status"]["plan"]
    restored = await carried_out(tenant, "back")
    assert_ready(restored)
    assert paths(plan["volumes"]) == paths(restored["status"]["volumes"]) == {"data": "Snapshot", "files": "Delta"}
    after = await objects(tenant)
    assert {key for key, uid in after.items() if before.get(key) != uid} == names(tenant, plan, "Replace")
    kept = [each["name"] for each in plan["changes"] if each["kind"] == "PersistentVolume" and "name" in each]
    volumes = await cluster.list(PERSISTENT_VOLUME, labels="safehold.dev/undo-of")
    assert sorted(kept) == sorted(
        volume["metadata"]["name"] for volume in volumes if volume["metadata"]["name"] in kept
    )
    assert len(kept) == 2


async def machine_with_address(tenant: Tenant) -> None:
    """VM orders with a MAC address of its own from its next start on, and its VMBackup `first`."""
    await tenant.machine("orders")
    path = "/spec/template/spec"
    operations: list[Object] = [
        {"op": "add", "path": f"{path}/networks", "value": [{"name": "default", "pod": {}}]},
        {
            "op": "add",
            "path": f"{path}/domain/devices/interfaces",
            "value": [{"name": "default", "masquerade": {}, "macAddress": MAC}],
        },
    ]
    await tenant.world.cluster.patch(VIRTUAL_MACHINE, "orders", operations, tenant.name, patch_type="json")
    assert_ready(await tenant.backed_up("first", "orders"))


async def planned(tenant: Tenant, name: str, new_vm: str | None = None, **spec: object) -> Object:
    """The VMRestore after its dry run."""
    await tenant.apply(tenant.restore(name, {"backup": "first"}, new_vm, dryRun=True, **spec))
    return await tenant.world.until(
        VM_RESTORE, name, tenant.name, lambda found: (found.get("status") or {}).get("phase") == "Planned"
    )


async def carried_out(tenant: Tenant, name: str) -> Object:
    """The VMRestore after `dryRun` was set to false, at its end."""
    await tenant.kubectl.run(
        *("patch", "vmrestores.safehold.dev", name, "--namespace", tenant.name),
        *("--type=merge", "-p", '{"spec":{"dryRun":false}}'),
    )
    return await tenant.world.until(
        VM_RESTORE, name, tenant.name, lambda found: "completionTime" in (found.get("status") or {})
    )


async def objects(tenant: Tenant) -> Objects:
    """What is in the tenant's namespace."""
    return {
        (kind.kind, found["metadata"]["name"]): found["metadata"]["uid"]
        for kind in KINDS
        for found in await tenant.world.cluster.list(kind, tenant.name)
    }


def paths(volumes: list[Object]) -> dict[str, str]:
    """How each volume comes to its content."""
    return {volume["name"]: volume["path"] for volume in volumes}


def names(tenant: Tenant, plan: Object, action: str) -> set[tuple[str, str]]:
    """What a plan does so in the tenant's namespace."""
    return {
        (each["kind"], each["name"])
        for each in plan["changes"]
        if each["action"] == action and each.get("namespace") == tenant.name
    }
