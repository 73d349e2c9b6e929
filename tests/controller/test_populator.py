"""Claims that fill themselves, on an API server with the storage stand-in: killed after every write, they converge."""

import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.controller.conftest import DEFINITION, OPERATOR_NAMESPACE, SHOP
from tests.plan.restore.objects import backup

from gen_crds import CRDS
from safehold.controller.memo import Operator
from safehold.controller.populator import Populator
from safehold.controller.settings import ControllerSettings
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.errors import ConflictError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.fleet import Fleet
from safehold.kube.jobs import JOB_NAME_LABEL
from safehold.kube.kinds import (
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    SECRET,
    VM_BACKUP,
    VOLUME,
    Kind,
)
from safehold.kube.restore.hands import RestoreHands
from safehold.plan.names import OWNER_KIND
from safehold.plan.populate.facts import CHOSEN_VOLUME, CLAIM_KIND, SELECTED_NODE
from safehold.plan.restore.steps import Finished, Record, Step, Wait
from safehold.plan.target.endpoint import EndpointRules
from safehold.report import RunReport, VolumeReport
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.waiting import wait_until
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage

CONTENT = b"restored"
SIZE = 1 << 20
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


class KilledError(Exception):
    """The controller's process ended after a write."""


@dataclass(frozen=True)
class MortalHands:
    """Hands that write so often, and not once more."""

    hands: RestoreHands
    writes_left: list[int]

    async def carry_out(self, step: Step) -> None:
        """Do one step; KilledError once there were enough."""
        await self.hands.carry_out(step)
        if not isinstance(step, Finished | Wait | Record):
            self.writes_left[0] -= 1
            if self.writes_left[0] == 0:
                raise KilledError


@dataclass(frozen=True, slots=True)
class MortalPopulator(Populator):
    """A populator that is killed after `writes_left` writes."""

    writes_left: list[int] = field(default_factory=lambda: [-1])

    def _hands(self, namespace: str) -> Any:
        return MortalHands(Populator._hands(self, namespace), self.writes_left)


@dataclass(frozen=True)
class Place:
    """The cluster, its storage, and a worker that is played: it writes what the real one would."""

    operator: Operator
    sandbox: SandboxCluster
    root: Path

    @property
    def cluster(self) -> Cluster:
        """The operator's client."""
        return self.operator.cluster

    def populator(self, writes: int = -1) -> MortalPopulator:
        """One that has just been started, and lives for so many writes."""
        fresh = Populator.of(self.operator)
        return MortalPopulator(fresh.operator, fresh.observer, writes_left=[writes])

    async def ask(self, name: str, *, storage_class: str = "sandbox", **changes: Any) -> Manifest:
        """The tenant's claim."""
        spec = {
            "storageClassName": storage_class,
            "volumeMode": "Block",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": str(SIZE)}},
            "dataSourceRef": {"apiGroup": "safehold.dev", "kind": "VMBackup", "name": "orders-1"},
            **changes,
        }
        metadata = {"name": name, "namespace": SHOP, "annotations": {CHOSEN_VOLUME: "data"}}
        return await self.cluster.create(CLAIM, {"metadata": metadata, "spec": spec})

    async def drive(self, name: str, populator: MortalPopulator, *, until_bound: bool = True) -> None:
        """Reconcile, with the worker at work, until the populator has nothing left to do."""
        for _ in range(100):
            with suppress(ConflictError):  # the volume controller was faster: look again, as the queue does
                if await populator.reconcile((SHOP, name)) is None:
                    return
            await self._work()
            if until_bound:
                await self._something_changes(name)
        raise AssertionError(f"claim {name} was not done with")

    async def _something_changes(self, name: str) -> None:
        last = await self.sandbox.get(PERSISTENT_VOLUME_CLAIM, name, SHOP)
        if last is None or (last.get("status") or {}).get("phase") == "Bound":
            return
        with suppress(TimeoutError):
            await wait_until(
                self.sandbox,
                PERSISTENT_VOLUME_CLAIM,
                name,
                SHOP,
                reached=lambda found: found != last,
                timeout_seconds=0.3,
            )

    async def _work(self) -> None:
        """What workers and the Job controller do."""
        for job in await self.cluster.list(JOB, OPERATOR_NAMESPACE):
            metadata, status = job["metadata"], job.get("status") or {}
            claims = [
                volume["persistentVolumeClaim"]["claimName"]
                for volume in job["spec"]["template"]["spec"]["volumes"]
                if "persistentVolumeClaim" in volume
            ]
            prime = await self.cluster.get(CLAIM, claims[0], OPERATOR_NAMESPACE)
            if status.get("conditions") or "deletionTimestamp" in metadata or prime is None:
                continue
            if (prime.get("status") or {}).get("phase") != "Bound":
                continue
            with (await self._file(prime["spec"]["volumeName"])).open("r+b") as disk:
                disk.write(CONTENT)
            await self._end(job)

    async def _end(self, job: Manifest) -> None:
        metadata = job["metadata"]
        run_id = metadata["labels"]["safehold.dev/owner-uid"]
        volumes = [VolumeReport(name="data", bytes_total=SIZE)]
        report = RunReport(
            run_id=run_id, verb="restore", succeeded=True, reason="Succeeded", message="", volumes=volumes
        )
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        pod = {
            "metadata": {
                "name": metadata["name"],
                "namespace": OPERATOR_NAMESPACE,
                "labels": {JOB_NAME_LABEL: metadata["name"]},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": "worker", "image": "worker"}]},
        }
        await self.cluster.create_if_absent(POD, pod)
        ended = {"exitCode": 0, "message": report.model_dump_json(exclude_defaults=True)}
        container = {"name": "worker", "state": {"terminated": ended}, "image": "", "imageID": "", "ready": False}
        status = {"phase": "Succeeded", "containerStatuses": [{**container, "restartCount": 0}]}
        await self.cluster.merge_patch(
            POD, metadata["name"], OPERATOR_NAMESPACE, {"status": status}, subresource="status"
        )
        done = {"conditions": [{"type": "Complete", "status": "True"}]}
        await self.cluster.merge_patch(
            JOB, metadata["name"], OPERATOR_NAMESPACE, {"status": done}, subresource="status"
        )

    async def _file(self, volume: str) -> Path:
        found = await self.cluster.read(VOLUME, volume)
        return volume_path(self.root, found["spec"]["csi"]["volumeHandle"])

    async def assert_filled(self, name: str) -> None:
        """The claim has the point's data under its class's policy, and nothing else is left."""
        found = await self.cluster.read(CLAIM, name, SHOP)
        assert found["status"]["phase"] == "Bound"
        volume = await self.cluster.read(VOLUME, found["spec"]["volumeName"])
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        assert volume["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]
        assert (await self._file(volume["metadata"]["name"])).read_bytes().startswith(CONTENT)
        await self.assert_nothing_left()

    async def assert_nothing_left(self) -> None:
        """No claim, Job or Secret of a filling."""
        for kind in (CLAIM, JOB, SECRET):
            labels = {OWNER_KIND: CLAIM_KIND}
            found = await self.cluster.list(kind, OPERATOR_NAMESPACE, labels=labels)
            assert [item for item in found if "deletionTimestamp" not in item["metadata"]] == []

    async def events(self, name: str) -> list[tuple[str, str]]:
        """What was told on a claim: reasons and messages."""
        uid = (await self.cluster.read(CLAIM, name, SHOP))["metadata"]["uid"]
        found = await self.cluster.list(EVENT, SHOP, fields=f"involvedObject.uid={uid}")
        return [
            (event["reason"], event["message"]) for event in found if event["source"].get("component") == "safehold"
        ]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Definitions, storage, a ready target, and VMBackup orders-1 with disks of one MiB."""
    with running_api_server(tmp_path / "api") as server:
        root = tmp_path / "csi"
        async with (
            running_storage(server.kubeconfig, root),
            Cluster.connect(server.kubeconfig) as cluster,
            SandboxCluster.connect(server.kubeconfig, "tests") as sandbox,
        ):
            for path in sorted(CRDS.glob("*.yaml")):
                await cluster.create(DEFINITION, yaml.safe_load(path.read_text()))
            for name in (SHOP, OPERATOR_NAMESPACE):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            await _protect(cluster)
            operator = Operator(
                cluster=cluster,
                fleet=Fleet.of(cluster),
                settings=ControllerSettings(),
                cluster_id="cluster-uid",
                endpoint_rules=EndpointRules(),
                now=lambda: NOW,
            )
            yield Place(operator, sandbox, root)


async def _protect(cluster: Cluster) -> None:
    """A target and a finished VMBackup of namespace shop."""
    key = base64.b64encode(RepositoryKey.generate().text().encode()).decode()
    secret = {"metadata": {"name": "key", "namespace": OPERATOR_NAMESPACE}, "data": {"repository.key": key}}
    await cluster.create(SECRET, secret)
    ready = {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-22T13:00:00Z",
        "reason": "Succeeded",
        "message": "",
    }
    target = {
        "metadata": {"name": "primary"},
        "spec": {
            "s3": {"bucket": "backups", "endpoint": "https://s3.example.org"},
            "encryption": {"keySecretRef": {"name": "key"}},
            "allowedNamespaces": {"names": [SHOP]},
        },
    }
    await _make(cluster, CLUSTER_BACKUP_TARGET, target, {"conditions": [ready], "repositoryID": "repo-1"})
    uid = (await cluster.read(NAMESPACE, SHOP))["metadata"]["uid"]
    made = backup(namespaceUID=uid)
    status = made.to_wire()["status"]
    for volume in status["volumes"]:
        volume["capacityBytes"] = SIZE
    manifest = {"metadata": {"name": "orders-1", "namespace": SHOP}, "spec": made.to_wire()["spec"]}
    await _make(cluster, VM_BACKUP, manifest, status)


async def _make(cluster: Cluster, kind: Kind, manifest: Manifest, status: Manifest) -> None:
    created = await cluster.create(kind, manifest)
    metadata = created["metadata"]
    await cluster.merge_patch(
        kind, metadata["name"], metadata.get("namespace"), {"status": status}, subresource="status"
    )


async def test_a_claim_fills_itself_wherever_the_controller_is_killed(place: Place) -> None:
    """Killed after each write and started anew, it ends with the data; its Events say what was done."""
    for writes in itertools.count(1):
        name = f"killed-{writes}"
        await place.ask(name)
        mortal = place.populator(writes)
        with suppress(KilledError):
            await place.drive(name, mortal)
        survived = mortal.writes_left[0] > 0
        await place.drive(name, place.populator())
        await place.assert_filled(name)
        if survived:
            break
    assert writes > 6
    assert {reason for reason, _ in await place.events(name)} == {"Populating", "Populated"}


async def test_a_claim_that_goes_takes_everything_with_it(place: Place) -> None:
    """Deleted after any write, also after its volume was kept for it, it leaves nothing."""
    for writes in range(1, 8):
        name = f"gone-{writes}"
        claim = await place.ask(name)
        with suppress(KilledError):
            await place.drive(name, place.populator(writes))
        volumes = {
            volume["metadata"]["name"]
            for volume in await place.cluster.list(VOLUME)
            if (volume["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"]
            or (volume["spec"].get("claimRef") or {}).get("namespace") == OPERATOR_NAMESPACE
        }
        await place.cluster.delete(CLAIM, name, SHOP)
        await place.drive(name, place.populator(), until_bound=False)
        await place.assert_nothing_left()
        for volume in volumes:
            await wait_until(
                place.sandbox, PERSISTENT_VOLUME, volume, None, reached=lambda found: found is None, timeout_seconds=180
            )


async def test_a_claim_that_waits_for_its_consumer_is_filled_on_that_node(place: Place) -> None:
    """Before the scheduler has chosen a node nothing is made; afterwards the volume is made there."""
    await place.ask("waiting", storage_class="sandbox-wait")
    assert await place.populator().reconcile((SHOP, "waiting")) is None
    await place.assert_nothing_left()
    patch = {"metadata": {"annotations": {SELECTED_NODE: "node-1"}}}
    await place.cluster.merge_patch(CLAIM, "waiting", SHOP, patch)
    await place.drive("waiting", place.populator())
    await place.assert_filled("waiting")


async def test_a_refusal_is_told_once_and_makes_nothing(place: Place) -> None:
    """A claim that is too small, and one of a VMBackup that does not exist."""
    await place.ask("small", resources={"requests": {"storage": str(SIZE // 2)}})
    await place.ask("absent", dataSourceRef={"apiGroup": "safehold.dev", "kind": "VMBackup", "name": "absent"})
    populator = place.populator()
    for name, reason in (("small", "VolumeMismatch"), ("absent", "PointNotFound")):
        for _ in range(3):
            assert await populator.reconcile((SHOP, name)) is not None
        assert [told for told, _ in await place.events(name)] == [reason]
    await place.assert_nothing_left()
