"""VMs that are real guests, in a sandbox whose programs tests stop and kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.kinds import VM_BACKUP, VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.patience import PATIENCE_SECONDS, until_none
from tests.e2e.restored_disks import Disks
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE, Kind
from sandbox.demo.guests import Proof, assert_restored, frozen_counters, proofs
from sandbox.demo.kubectl import condition
from sandbox.guest.inside import guest_check, guest_counters
from sandbox.kubevirt.names import FAULT

NAMESPACE = "guests"
DEADLINE = "15s"
"""The freezeTimeout of tests that wait until KubeVirt gives up a snapshot."""
_PATIENT = "5m"
"""That of all others, which is over on no machine before the volumes are cut."""
_DISK = "2Gi"


@dataclass(frozen=True)
class Guests:
    """The namespace `guests`; its VMs write to their disks all the time."""

    world: World
    tenant: Tenant
    scratch: Path
    abandoned: set[str] = field(default_factory=set)
    """Snapshots that the driver cut when nobody asked for them any more."""

    @property
    def state(self) -> Path:
        """State folder of the sandbox's KubeVirt."""
        return self.world.sandbox.state / "kubevirt"

    async def boot(
        self,
        name: str,
        *modes: str,
        tracked: bool = False,
        sources: Sequence[Object] = (),
        images: Mapping[str, str] | None = None,
    ) -> None:
        """A VM with a disk of each volume mode; returns when its agent answers and it writes.

        `tracked`: KubeVirt tracks its changed blocks. `sources` are snapshots from which the disks are made, in turn.
        `images` are its container disks beside these: volume → image.
        """
        volumes = {f"disk{number}": mode for number, mode in enumerate(modes)}
        claims = [
            self.tenant.manifest(
                "v1",
                "PersistentVolumeClaim",
                f"{name}-{volume}",
                {
                    "storageClassName": "sandbox",
                    "volumeMode": mode,
                    "accessModes": ["ReadWriteMany" if mode == "Block" else "ReadWriteOnce"],
                    "resources": {"requests": {"storage": _DISK}},
                    **({"dataSource": sources[number]} if sources else {}),
                },
            )
            for number, (volume, mode) in enumerate(volumes.items())
        ]
        images = images or {}
        disks = [{"name": volume, "disk": {"bus": "virtio"}} for volume in (*volumes, *images)]
        instance = {
            "domain": {"memory": {"guest": "192Mi"}, "devices": {"disks": disks}},
            "volumes": [
                *({"name": volume, "persistentVolumeClaim": {"claimName": f"{name}-{volume}"}} for volume in volumes),
                *({"name": volume, "containerDisk": {"image": image}} for volume, image in images.items()),
            ],
        }
        spec = {"runStrategy": "Always", "template": {"metadata": {}, "spec": instance}}
        vm = self.tenant.manifest("kubevirt.io/v1", "VirtualMachine", name, spec)
        vm["metadata"]["labels"] = {"changedBlockTracking": "true"} if tracked else {}
        await self.world.apply(*claims, vm)
        await self.agent(name)
        await self.begun(name)

    async def agent(self, vm: str, *, connected: bool = True) -> None:
        """Wait until the VM's guest agent is connected, or is not."""
        await self.world.until(
            VIRTUAL_MACHINE_INSTANCE,
            vm,
            NAMESPACE,
            lambda found: (condition(found, "AgentConnected").get("status") == "True") is connected,
        )

    async def frozen(self, vm: str, *, holds: bool = True) -> None:
        """Wait until the guest's file systems are frozen, or are not."""
        await self.world.until(
            VIRTUAL_MACHINE_INSTANCE,
            vm,
            NAMESPACE,
            lambda found: (found["status"].get("fsFreezeStatus") == "frozen") is holds,
        )

    async def begun(self, vm: str) -> None:
        """Wait until the guest has written to each disk since it booted: before that a freeze proves nothing."""
        disks = await self._disks(vm)

        async def silent() -> list[str]:
            return sorted(disks - guest_counters(self.state, NAMESPACE, vm).keys())

        await until_none(silent, f"disks of {vm} that were never written")

    async def writes(self, vm: str) -> None:
        """Wait until every disk's counter has gone on: nothing keeps the guest from writing."""
        await self.begun(vm)
        before = guest_counters(self.state, NAMESPACE, vm)
        await self.acknowledges(vm, {disk: before[disk] + 1 for disk in await self._disks(vm)})

    async def acknowledges(self, vm: str, counters: Mapping[str, int]) -> None:
        """Wait until the guest has acknowledged at least these counters."""

        async def lower() -> list[str]:
            now = guest_counters(self.state, NAMESPACE, vm)
            return [name for name, counter in counters.items() if now.get(name, 0) < counter]

        await until_none(lower, f"counters of {vm} that do not go on")

    async def _disks(self, vm: str) -> set[str]:
        instance = await self.world.cluster.get(VIRTUAL_MACHINE_INSTANCE, vm, NAMESPACE)
        assert instance is not None
        return {volume["name"] for volume in instance["spec"]["volumes"] if "persistentVolumeClaim" in volume}

    async def reach(self, kind: Kind, name: str, reached: Callable[[Object], bool]) -> Object:
        """Wait for a state of one of the namespace's objects."""
        return await self.world.until(kind, name, NAMESPACE, reached)

    async def one(self, kind: Kind, namespace: str, reached: Callable[[Object], bool]) -> Object:
        """Wait until one of the objects of a namespace is in a state, and return it."""
        return await self.world.one(kind, namespace, reached)

    async def made_for(self, backup: str, kind: Kind, reached: Callable[[Object], bool] = bool) -> Object:
        """Wait until one of the objects that this VMBackup's run has made for its worker is in a state."""

        def ours(found: Object) -> bool:
            return (found["metadata"].get("labels") or {}).get("safehold.dev/owner-name") == backup and reached(found)

        return await self.world.one(kind, OPERATOR, ours)

    @asynccontextmanager
    async def fault(self, vm: str, fault: str) -> AsyncIterator[None]:
        """While the guest's agent has this fault (see sandbox.kubevirt.names.FAULT)."""
        await self._has_fault(vm, fault)
        yield
        await self._has_fault(vm, None)
        await self.agent(vm)

    async def _has_fault(self, vm: str, fault: str | None) -> None:
        """Ask for a fault, or for none, and wait until the guest has been told."""
        log = self.world.sandbox.log_of("kubevirt")
        told = f"faults of {NAMESPACE}/{vm} are now: {fault or 'none'}"
        before = log.read_text().count(told)
        body = {"metadata": {"annotations": {FAULT: fault}}}
        await self.world.cluster.patch(VIRTUAL_MACHINE_INSTANCE, vm, body, NAMESPACE)

        async def pending() -> list[str]:
            return [] if log.read_text().count(told) > before else [told]

        await until_none(pending, "not told to the guest")

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """While all processes of a part of the sandbox are stopped, as on a machine that hangs."""
        with self.world.stopped(part):
            yield

    def kill_container(self, *command: str) -> None:
        """Kill, as a lack of memory does, the container that runs this Safehold command."""
        os.kill(self._container(*command), signal.SIGKILL)

    async def container(self, *command: str) -> int:
        """Wait until a container runs this Safehold command, and return its process id."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return self._container(*command)
                except LookupError:
                    await asyncio.sleep(0.02)

    def _container(self, *command: str) -> int:
        kubelet = self.world.sandbox.pid_of("kubelet")
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            if words[1 : 3 + len(command)] == ["-m", "safehold", *command] and kubelet in _ancestors(int(folder.name)):
                return int(folder.name)
        raise LookupError(f"no container runs safehold {' '.join(command)}")

    async def kill_controller(self) -> None:
        """Stop the controller where it is, and kill it; killed alone, Kubernetes would start it again at once."""
        os.kill(self._container("controller"), signal.SIGSTOP)
        await self.world.scale_controller(0, grace_seconds=0)

    async def start_controller(self) -> None:
        """Start the controller again."""
        await self.world.scale_controller(1)

    async def begin_backup(
        self, name: str, vm: str, *, target: str = "shared", level: str = "Filesystem", **consistency: str
    ) -> None:
        """Create a VMBackup that demands a level of consistency."""
        demand = {"level": level, "freezeTimeout": _PATIENT, **consistency}
        await self.tenant.apply(self.tenant.backup(name, vm, target, consistency=demand))

    async def backed_up(self, name: str, vm: str, *, level: str = "Filesystem", **consistency: str) -> Object:
        """A VMBackup that has ended, well or badly."""
        await self.begin_backup(name, vm, level=level, **consistency)
        return await self.ended(name)

    async def ended(self, name: str) -> Object:
        """The VMBackup once it is Ready or Stalled."""
        return await self.world.ended(VM_BACKUP, name, NAMESPACE)

    async def restored(self, name: str) -> Object:
        """The VMRestore once it is Ready or Stalled."""
        return await self.world.ended(VM_RESTORE, name, NAMESPACE)

    async def assert_whole(self, backup: Object) -> None:
        """Every disk of the point is clean, and stands where it stood at the freeze."""
        assert_restored(await self.proofs(backup), self._ledgers_at(backup), backup["metadata"]["name"])

    async def proofs(self, backup: Object) -> list[Proof]:
        """What the disks of a point hold."""
        return await Disks(self.world, self.scratch).proofs(backup)

    async def assert_runs_from(self, vm: str, backup: Object) -> None:
        """The running guest found its disks, when it booted, as they were at the freeze of that point."""
        await self.agent(vm)
        found = proofs((await guest_check(self.state, NAMESPACE, vm, "boot")).values())
        assert_restored(found, self._ledgers_at(backup), vm)

    def _ledgers_at(self, backup: Object) -> dict[str, int]:
        volumes = {volume["name"] for volume in backup["status"]["volumes"]}
        return {name: counter for name, counter in self.counters_at(backup).items() if name in volumes}

    def counters_at(self, backup: Object) -> dict[str, int]:
        """What the guest had acknowledged when it was frozen for this point: ledgers of disks, and lanes of banks."""
        vm, captured = backup["spec"]["vm"]["name"], backup["status"]["captureTime"]
        return frozen_counters(self.state / "freezes.jsonl", NAMESPACE, vm, captured)

    def last_freeze_millis(self, vm: str) -> float:
        """How long the VM's last freeze took, as the one knows who asked the agent for it."""
        freezes = map(json.loads, (self.state / "freezes.jsonl").read_text().splitlines())
        return next(float(freeze["millis"]) for freeze in reversed([*freezes]) if freeze["vm"] == vm)

    async def assert_left_alone(self, vm: str, *, cut_too_late: bool = False) -> None:
        """Nothing of a run is left anywhere, the guest is thawed, and it writes.

        `cut_too_late`: the driver did not answer before the snapshot was given up, so what it cut then is its own.
        """
        if cut_too_late:
            self.abandoned.update(self._cuts())
        # KubeVirt and the CSI driver delete what a run let go a moment later.
        await until_none(self._leftovers, "left behind")
        await self.frozen(vm, holds=False)
        await self.writes(vm)

    async def _leftovers(self) -> list[str]:
        bases = {base["spec"]["source"]["snapshotHandle"] for base in (await self.tenant.bases()).values()}
        safety = {content["status"]["snapshotHandle"] for content in await self.tenant.safety_contents()}
        cuts = self._cuts() - self.abandoned - bases - safety
        return [*await self.tenant.leftovers(), *(f"the driver's {cut}" for cut in cuts)]

    def _cuts(self) -> set[str]:
        return {entry.name for entry in (self.world.sandbox.state / "csi" / "snapshots").iterdir()}


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
