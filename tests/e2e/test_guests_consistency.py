"""Real guests whose freezes are limited, or that are restarted while their backup runs."""

import asyncio
import json
from datetime import datetime

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import CLUSTER_BACKUP_TARGET, VM_BACKUP
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB, VIRTUAL_MACHINE_INSTANCE
from sandbox.demo.kubectl import condition

LIMITED = "one-at-a-time"
_RESTART = f"/apis/subresources.kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachines/web/restart"


async def test_guests_of_a_limited_target_freeze_one_after_another(guests: Guests) -> None:
    """While one is frozen the other waits and says so, even after the controller was killed; both get a point."""
    world = guests.world
    await world.apply(world.target(LIMITED, s3={"prefix": LIMITED}, maxFrozenVMs=1))
    assert_ready(await world.ended(CLUSTER_BACKUP_TARGET, LIMITED))
    with guests.stopped("csi"):
        await guests.begin_backup("turn-1", "orders", target=LIMITED)
        await guests.frozen("orders")
        await guests.kill_controller()
        await guests.begin_backup("turn-2", "web", target=LIMITED)
        await guests.start_controller()
        await guests.reach(VM_BACKUP, "turn-2", _waits_for_its_turn)
        await guests.frozen("orders")
    for backup in await asyncio.gather(guests.ended("turn-1"), guests.ended("turn-2")):
        assert_ready(backup)
        assert backup["status"]["consistency"]["reached"] == "Filesystem"
    first, second = sorted(_last_freeze(guests, vm) for vm in ("orders", "web"))
    assert first[1] <= second[0]
    await guests.assert_left_alone("orders")
    await guests.assert_left_alone("web")


async def test_restart_of_the_vm_while_its_disks_are_read_does_no_harm(guests: Guests) -> None:
    """The worker reads what was cut, so the point is the one of the freeze, and the guest boots beside it."""
    await guests.begin_backup("restarted", "web")
    await guests.made_for("restarted", JOB)
    with guests.stopped("objectstore"):
        await guests.container("worker", "backup")
        before = await guests.reach(VIRTUAL_MACHINE_INSTANCE, "web", bool)
        await guests.world.cluster.request("PUT", _RESTART, body={})
        await guests.reach(
            VIRTUAL_MACHINE_INSTANCE, "web", lambda found: found["metadata"]["uid"] != before["metadata"]["uid"]
        )
    backup = await guests.ended("restarted")
    assert_ready(backup)
    assert backup["status"]["consistency"]["reached"] == "Filesystem"
    await guests.agent("web")
    await guests.assert_left_alone("web")
    await guests.assert_whole(backup)


def _waits_for_its_turn(found: Object) -> bool:
    return "maxFrozenVMs" in condition(found, "Ready").get("message", "")


def _last_freeze(guests: Guests, vm: str) -> tuple[datetime, datetime]:
    """From when to when the VM was frozen the last time, as the one knows who asked its agent."""
    freezes = map(json.loads, (guests.state / "freezes.jsonl").read_text().splitlines())
    last = next(freeze for freeze in reversed([*freezes]) if freeze["vm"] == vm)
    return datetime.fromisoformat(last["frozen"]), datetime.fromisoformat(last["thawed"])
