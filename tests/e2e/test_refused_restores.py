"""VMRestores that cannot be carried out: each says why and what to do, and changes nothing."""

from tests.e2e.kinds import VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE

RESTORES: dict[str, tuple[Object, str | None, Object, str, str]] = {
    "no-backup": ({"backup": "absent"}, None, {}, "PointNotFound", "kubectl get vmbackups"),
    "no-point": ({"backup": "failed"}, None, {}, "PointNotFound", "it failed"),
    "no-points": ({"vm": "absent"}, None, {}, "PointNotFound", "kubectl get vmbackups"),
    "too-early": ({"vm": "orders", "before": "2020-01-01T00:00:00Z"}, None, {}, "PointNotFound", "the oldest is of"),
    "exists": ({"backup": "first"}, "orders", {}, "VMExists", "give spec.target.name another name"),
    "no-account": (
        {"backup": "first"},
        "copy",
        {"serviceAccountName": "absent"},
        "InvalidSpec",
        "does not exist; create it",
    ),
    "created-anew": ({"backup": "of-earlier"}, None, {}, "PointNotYours", "NewVM"),
    "created-anew-by-name": ({"vm": "anew"}, None, {}, "PointNotFound", "name one of them in spec.source.backup"),
}


async def test_what_is_wrong_with_a_restore_is_its_reason(tenant: Tenant) -> None:
    """Points that do not exist or are another VM's, and VMs that do exist: VMs and volumes stay as they are."""
    world = tenant.world
    await tenant.machine("orders")
    await tenant.machine("anew")
    assert_ready(await tenant.backed_up("first", "orders"))
    assert_ready(await tenant.backed_up("of-earlier", "anew"))
    await tenant.backed_up("failed", "absent")
    await tenant.kubectl.run("delete", "vm", "anew", "--namespace", tenant.name)
    await tenant.machine("anew")
    await tenant.write("orders", "data", b"newer")
    before = await _everything(tenant)

    await tenant.apply(
        *(tenant.restore(name, source, vm, **spec) for name, (source, vm, spec, _, _) in RESTORES.items())
    )
    for name, (_, _, _, reason, remedy) in RESTORES.items():
        found = await world.ended(VM_RESTORE, name, tenant.name)
        assert_refused(found, reason, remedy)
        assert found["status"]["phase"] == "Failed"
    await tenant.left_nothing()
    assert await _everything(tenant) == before


async def _everything(tenant: Tenant) -> list[object]:
    """The VMs, their claims, and what is on the disks."""
    cluster = tenant.world.cluster
    vms = [(vm["metadata"]["uid"], vm["spec"]) for vm in await cluster.list(VIRTUAL_MACHINE, tenant.name)]
    claims = await cluster.list(PERSISTENT_VOLUME_CLAIM, tenant.name)
    return [
        vms,
        sorted((claim["metadata"]["uid"], claim["spec"]["volumeName"]) for claim in claims),
        await tenant.digests("orders"),
        await tenant.digests("anew"),
    ]
