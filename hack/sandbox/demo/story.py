"""The story: each step acts as a user does, waits for a state, and fails with the reason if it does not come."""

from __future__ import annotations

import asyncio
import json
import sys
from configparser import ConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from sandbox.demo import chart
from sandbox.demo.errors import StoryError
from sandbox.demo.guests import assert_restored, frozen_counters, proofs
from sandbox.demo.kubectl import Kubectl, condition, is_ready
from sandbox.demo.report import Report, megabytes
from sandbox.guest.inside import guest_check, guest_exec
from sandbox.ports import free_ports
from sandbox.up import Sandbox

SOURCE, COPY = "shop", "shop-copy"
MACHINES = ("orders", "web")
BUCKET = "backups"
MANIFESTS = Path(__file__).parent / "manifests"
_BACKUPS = "vmbackups.safehold.dev"
_WAIT_SECONDS = 300.0
"""For whatever comes next: much, as machines may be slow. What fails for good ends the wait at once."""


@dataclass(slots=True)
class Story:
    """One telling of the story in one running sandbox."""

    sandbox: Sandbox
    report: Report
    told: set[str] = field(default_factory=set)
    """Names of the VMBackups that the story has come to."""

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's kubectl."""
        return Kubectl(self.sandbox.kubeconfig)

    @property
    def _guests(self) -> Path:
        """State folder of the sandbox's KubeVirt."""
        return self.sandbox.state / "kubevirt"

    async def tell(self) -> list[dict[str, Any]]:
        """From an empty cluster to two proven restores; returns the VMBackups that were made."""
        await self.set_the_stage()
        await self.protect()
        first = await self.run_of_policy(full=True)
        second = await self.run_of_policy(full=False)
        await self.kubectl.run("patch", "bpol", "gold", "-n", SOURCE, "--type=merge", "-p", '{"spec":{"suspend":true}}')
        await self.lose_and_restore(second["orders"])
        await self.restore_elsewhere(first["orders"])
        return [*first.values(), *second.values()]

    async def set_the_stage(self) -> None:
        """Safehold with a target, and two guests that run; nothing is backed up yet."""
        await self.install()
        await self.boot_guests()

    async def install(self) -> None:
        """The chart, a bucket, a repository key, and a target that becomes Ready."""
        self.report.chapter("Installing Safehold from its chart")
        # The sandbox's pods share this machine's network, so the controller gets free ports of it.
        metrics, health = free_ports(2)
        ports = {"metrics": metrics, "health": health}
        await chart.install(self.kubectl, {"controller": {"allowLocalEndpoints": True, "ports": ports}})
        await self._secret("s3-primary", _credentials(self.sandbox.s3_credentials))
        await self._secret("s3-primary-key", {"repository.key": await _new_key()})
        await self._apply("10-namespaces.yaml", "30-target.yaml", endpoint=self.sandbox.s3_endpoint)
        await self.kubectl.wait("cbtgt", "s3-primary", None, is_ready, _WAIT_SECONDS)
        self.report.line(
            "the controller runs under the chart's service account; ClusterBackupTarget s3-primary is Ready"
        )

    async def boot_guests(self) -> None:
        """Two VMs boot, format their disks and start to write."""
        self.report.chapter("Booting two guests")
        await self._apply("20-machines.yaml")
        for name in MACHINES:
            await self.kubectl.wait("vmi", name, SOURCE, _agent_connected, _WAIT_SECONDS)
            self.report.line(f"{name} runs, and its agent answers")

    async def protect(self) -> None:
        """The policy: from here on everything happens by itself."""
        self.report.chapter("Applying BackupPolicy gold: every minute, file systems frozen")
        await self._apply("40-policy.yaml")

    async def run_of_policy(self, *, full: bool) -> dict[str, dict[str, Any]]:
        """Waits for the policy's next run; returns its VMBackup of each VM."""
        self.report.chapter("The first run is full" if full else "The next run is incremental")
        names = {vm: await self._next_backup(vm) for vm in MACHINES}
        run = {vm: await self.kubectl.wait("vmb", name, SOURCE, is_ready, _WAIT_SECONDS) for vm, name in names.items()}
        for name, backup in run.items():
            status = backup["status"]
            _check(bool(status.get("parent")) != full, f"the point of {name} names parent {status.get('parent')}")
            _check(
                status["consistency"]["reached"] == "Filesystem", f"{name} reached {status['consistency']['reached']}"
            )
            if not full:
                _check(
                    status["bytesUploaded"] < status["bytesTotal"] / 10, f"{name} uploaded {status['bytesUploaded']}"
                )
            self.report.line(
                f"{name}: point {status['restorePoint']}, frozen {status['consistency'].get('frozenMillis')} ms, "
                f"{megabytes(status['bytesUploaded'])} uploaded of {megabytes(status['bytesTotal'])}"
            )
        return run

    async def lose_and_restore(self, backup: dict[str, Any]) -> None:
        """The VM orders loses its disks; a restore in place brings them back as they were at the freeze."""
        self.report.chapter("Wiping the disks of orders, and restoring it in place")
        self.report.line((await guest_exec(self._guests, SOURCE, "orders", "wipe")).strip().replace("\n", ", "))
        await self._apply("50-restore-in-place.yaml", backup=backup["metadata"]["name"])
        await self._restored("orders-back", SOURCE)
        await self._prove(SOURCE, "orders", backup)

    async def restore_elsewhere(self, backup: dict[str, Any]) -> None:
        """A new VM in another namespace that the source allows, from the older point."""
        self.report.chapter("Restoring the older point of orders as a new VM in another namespace")
        await self._apply("60-restore-elsewhere.yaml", before=backup["status"]["captureTime"])
        await self._restored("orders-copy", COPY)
        await self._prove(COPY, "orders-copy", backup)

    async def _prove(self, namespace: str, vm: str, backup: dict[str, Any]) -> None:
        await self.kubectl.wait("vmi", vm, namespace, _agent_connected, _WAIT_SECONDS)
        found = proofs((await guest_check(self._guests, namespace, vm, "boot")).values())
        expected = frozen_counters(self._guests / "freezes.jsonl", SOURCE, "orders", backup["status"]["captureTime"])
        for proof in found:
            self.report.line(str(proof))
        assert_restored(found, expected, f"{namespace}/{vm}")
        self.report.line(
            f"{namespace}/{vm} stands where orders stood at the freeze of {backup['status']['restorePoint']}"
        )

    async def _next_backup(self, vm: str) -> str:
        """The VM's VMBackup by the first run that the story has not told of."""

        def is_new(backup: dict[str, Any]) -> bool:
            return backup["spec"]["vm"]["name"] == vm and backup["metadata"]["name"] not in self.told

        name = await self.kubectl.first(_BACKUPS, SOURCE, is_new, _WAIT_SECONDS)
        self.told.add(name)
        return name

    async def _restored(self, name: str, namespace: str) -> None:
        restore = await self.kubectl.wait("vmr", name, namespace, is_ready, _WAIT_SECONDS)
        self.report.line(f"VMRestore {name}: {condition(restore, 'Ready')['message']}")

    async def _secret(self, name: str, values: dict[str, str]) -> None:
        # Through standard input, because everybody on the machine sees a command's arguments.
        metadata = {"name": name, "namespace": chart.NAMESPACE}
        await self.kubectl.apply(
            json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})
        )

    async def _apply(self, *names: str, **values: str) -> None:
        for name in names:
            await self.kubectl.apply(Template((MANIFESTS / name).read_text()).substitute(values))


def _credentials(profile: Path) -> dict[str, str]:
    """The keys of an AWS credentials file under the names that a target's Secret has."""
    parser = ConfigParser()
    parser.read_string(profile.read_text())
    keys = parser["default"]
    return {"accessKeyId": keys["aws_access_key_id"], "secretAccessKey": keys["aws_secret_access_key"]}


async def _new_key() -> str:
    """A repository key, made as an administrator makes it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "safehold", "key", "new", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise StoryError("safehold key new failed")
    return output.decode()


def _check(holds: bool, found: str) -> None:
    if not holds:
        raise StoryError(f"not as it should be: {found}")


def _agent_connected(vmi: dict[str, Any]) -> bool:
    return condition(vmi, "AgentConnected").get("status") == "True"
