"""The whole of KubeVirt on the embedded API server and the sandbox's storage, with guests that are only disks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError, InvalidError
from sandbox.cluster.kinds import (
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_RESTORE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
    VOLUME_SNAPSHOT,
)
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import claim, machine, restore, settled, snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Path]]:
    """A cluster with storage and KubeVirt, and the folder of its volumes."""
    state = tmp_path_factory.mktemp("sandbox")
    settings = Settings(state=state / "kubevirt", volumes=state / "csi", image=None)
    with running_api_server(state / "api") as server:
        async with (
            running_storage(server.kubeconfig, settings.volumes),
            running_kubevirt(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig, "test") as cluster,
        ):
            yield cluster, settings.volumes


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(sandbox: tuple[Cluster, Path], request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    digest = hashlib.sha256(request.node.name.encode()).hexdigest()[:10]
    await sandbox[0].create(NAMESPACE, {"metadata": {"name": f"t-{digest}"}})
    return f"t-{digest}"


async def _running(cluster: Cluster, namespace: str, name: str = "web") -> Object:
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, f"{name}-root", "Block", "64Mi"))
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, f"{name}-data", "Filesystem", "64Mi"))
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, name))
    return await settled(cluster, VIRTUAL_MACHINE, namespace, name, printableStatus="Running")


async def _disk(cluster: Cluster, volumes: Path, namespace: str, name: str) -> Path:
    found = await cluster.get(PERSISTENT_VOLUME_CLAIM, name, namespace)
    assert found
    volume = await cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
    assert volume
    path = volume_path(volumes, volume["spec"]["csi"]["volumeHandle"])
    return path / "disk.img" if path.is_dir() else path


async def test_a_machine_runs_holds_its_claims_and_stops(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """Always makes an instance and a pod that uses the claims; Halted ends both; a claim in use cannot vanish."""
    cluster, _ = sandbox
    vm = await _running(cluster, namespace)
    assert vm["status"]["ready"] is True
    assert vm["metadata"]["finalizers"] == ["kubevirt.io/virtualMachineControllerFinalize"]
    assert vm["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"]
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "web-root", namespace)
    held = await cluster.get(PERSISTENT_VOLUME_CLAIM, "web-root", namespace)
    assert held
    assert held["metadata"]["deletionTimestamp"]
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, namespace)
    await wait_until_gone(cluster, VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Stopped", created=None, ready=None)
    assert await cluster.list(POD, namespace) == []
    await wait_until_gone(cluster, PERSISTENT_VOLUME_CLAIM, "web-root", namespace)


async def test_a_machine_waits_for_a_claim_that_is_missing(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """ErrorPvcNotFound in the words of the real one; it goes on by itself when the claim appears."""
    cluster, _ = sandbox
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, "web"))
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="ErrorPvcNotFound")
    vmi = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    assert vmi
    conditions = {item["type"]: item for item in vmi["status"]["conditions"]}
    assert conditions["Synchronized"]["reason"] == "FailedPvcNotFound"
    missing = f"PVC {namespace}/web-root does not exist, waiting for it to appear"
    assert conditions["Synchronized"]["message"] == missing
    for name, mode in (("web-root", "Block"), ("web-data", "Filesystem")):
        await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, name, mode, "64Mi"))
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")


async def test_a_claim_that_waits_for_its_consumer_is_bound_by_the_start(
    sandbox: tuple[Cluster, Path], namespace: str
) -> None:
    """WaitForFirstConsumer: the launcher is the consumer, and the node is selected as by a scheduler."""
    cluster, _ = sandbox
    for name, mode in (("web-root", "Block"), ("web-data", "Filesystem")):
        late = claim(namespace, name, mode, "64Mi", storage_class="sandbox-wait")
        await cluster.create(PERSISTENT_VOLUME_CLAIM, late)
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, "web"))
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")


async def test_a_snapshot_of_a_machine_without_agent_and_its_deletion(
    sandbox: tuple[Cluster, Path], namespace: str
) -> None:
    """NoGuestAgent, both volumes, child names from the uid; deleting it takes content and VolumeSnapshots along."""
    cluster, _ = sandbox
    await _running(cluster, namespace)
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    done = await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True, phase="Succeeded")
    uid = done["metadata"]["uid"]
    assert done["status"]["indications"] == ["NoGuestAgent", "Online"]
    content = await cluster.get(VM_SNAPSHOT_CONTENT, f"vmsnapshot-content-{uid}", namespace)
    assert content
    assert "ownerReferences" not in content["metadata"]
    assert content["spec"]["source"]["virtualMachine"]["metadata"]["name"] == "web"
    names = {item["metadata"]["name"] for item in await cluster.list(VOLUME_SNAPSHOT, namespace)}
    assert names == {f"vmsnapshot-{uid}-volume-root", f"vmsnapshot-{uid}-volume-data"}
    await cluster.delete(VM_SNAPSHOT, "s1", namespace)
    for name in names:
        await wait_until_gone(cluster, VOLUME_SNAPSHOT, name, namespace)
    assert await cluster.get(VM_SNAPSHOT_CONTENT, f"vmsnapshot-content-{uid}", namespace) is None


async def test_a_restore_makes_a_new_machine_that_is_halted(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """New claims with the snapshot's bytes, the marks of the restore, the patch applied, and the VM as its owner."""
    cluster, volumes = sandbox
    await _running(cluster, namespace)
    before = (await _disk(cluster, volumes, namespace, "web-root")).read_bytes()
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    patch = '{"op": "add", "path": "/metadata/labels/restored", "value": "yes"}'
    await cluster.create(VM_RESTORE, restore(namespace, "r1", "copy", "s1", patches=[patch]))
    done = await settled(cluster, VM_RESTORE, namespace, "r1", complete=True)
    copied = await cluster.get(VIRTUAL_MACHINE, "copy", namespace)
    assert copied
    assert copied["spec"]["runStrategy"] == "Halted"
    assert copied["metadata"]["labels"]["restored"] == "yes"
    mark = f"r1-{done['metadata']['uid']}"
    assert copied["metadata"]["annotations"]["restore.kubevirt.io/lastRestoreUID"] == mark
    assert done["metadata"]["ownerReferences"][0]["uid"] == copied["metadata"]["uid"]
    names = {entry["volumeName"]: entry["persistentVolumeClaim"] for entry in done["status"]["restores"]}
    assert names["root"] == f"restore-{done['metadata']['uid']}-root"
    assert (await _disk(cluster, volumes, namespace, names["root"])).read_bytes() == before


async def test_a_restore_in_place_waits_for_the_machine_to_be_off(
    sandbox: tuple[Cluster, Path], namespace: str
) -> None:
    """Running: it says how long it waits. Halted: the same VM gets the old bytes, and keeps its strategy."""
    cluster, volumes = sandbox
    await _running(cluster, namespace)
    disk = await _disk(cluster, volumes, namespace, "web-root")
    before = disk.read_bytes()
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    with disk.open("r+b") as stream:
        stream.write(b"lost" * 1024)
    await cluster.create(VM_RESTORE, restore(namespace, "r1", "web", "s1", volumeRestorePolicy="InPlace"))
    waiting = await wait_until(cluster, VM_RESTORE, "r1", namespace, reached=lambda obj: "powered off" in str(obj))
    assert waiting
    reasons = [item["reason"] for item in waiting["status"]["conditions"]]
    assert any(reason.endswith("or the operation will fail after 5m0s") for reason in reasons)
    with pytest.raises(InvalidError, match='VirtualMachineRestore "r1" in progress'):
        await cluster.create(VM_RESTORE, restore(namespace, "r2", "web", "s1"))
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, namespace)
    await settled(cluster, VM_RESTORE, namespace, "r1", complete=True)
    assert (await _disk(cluster, volumes, namespace, "web-root")).read_bytes() == before
    vm = await cluster.get(VIRTUAL_MACHINE, "web", namespace)
    assert vm
    assert (vm["spec"]["runStrategy"], vm["status"].get("restoreInProgress")) == ("Halted", None)


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("copy", "nosuch", "VMSnapshot {namespace}/nosuch does not exist"),
        ("other", "s1", "restore source and restore target are different but restore target already exists"),
    ],
)
async def test_restores_that_cannot_be_done_say_why(
    sandbox: tuple[Cluster, Path], namespace: str, target: str, source: str, reason: str
) -> None:
    """The recorded words in the condition's reason; nothing is made."""
    cluster, _ = sandbox
    await _running(cluster, namespace)
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, "other", strategy="Halted"))
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    claims = len(await cluster.list(PERSISTENT_VOLUME_CLAIM, namespace))
    await cluster.create(VM_RESTORE, restore(namespace, "r1", target, source))
    words = reason.format(namespace=namespace)
    await wait_until(cluster, VM_RESTORE, "r1", namespace, reached=lambda obj: words in str(obj))
    assert len(await cluster.list(PERSISTENT_VOLUME_CLAIM, namespace)) == claims


async def test_a_restore_may_stop_or_refuse_a_running_target(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """FailImmediate fails at once; StopTarget halts the VM and goes on."""
    cluster, _ = sandbox
    await _running(cluster, namespace)
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    await cluster.create(VM_RESTORE, restore(namespace, "r1", "web", "s1", targetReadinessPolicy="FailImmediate"))
    failed = await wait_until(cluster, VM_RESTORE, "r1", namespace, reached=lambda obj: "'Failure'" in str(obj))
    assert failed
    assert failed["status"]["complete"] is False
    await cluster.delete(VM_RESTORE, "r1", namespace)
    await wait_until_gone(cluster, VM_RESTORE, "r1", namespace)
    await cluster.create(VM_RESTORE, restore(namespace, "r2", "web", "s1", targetReadinessPolicy="StopTarget"))
    await settled(cluster, VM_RESTORE, namespace, "r2", complete=True)
    vm = await cluster.get(VIRTUAL_MACHINE, "web", namespace)
    assert vm
    assert vm["spec"]["runStrategy"] == "Halted"


async def test_subresources_start_stop_and_refuse(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """Start and stop change the run strategy; what makes no sense is a conflict in KubeVirt's words."""
    cluster, _ = sandbox
    await _running(cluster, namespace)
    base = f"/apis/subresources.kubevirt.io/v1/namespaces/{namespace}"

    async def put(path: str, body: Any = None) -> Any:
        return await cluster.request("PUT", f"{base}/{path}", body=body or {})

    await put("virtualmachines/web/stop")
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Stopped")
    with pytest.raises(ApiError, match="VM is not running"):
        await put("virtualmachines/web/stop")
    await put("virtualmachines/web/start")
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")
    with pytest.raises(ApiError, match="already running"):
        await put("virtualmachines/web/start")
    first = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    assert first
    await put("virtualmachines/web/restart")
    again = await wait_until(
        cluster,
        VIRTUAL_MACHINE_INSTANCE,
        "web",
        namespace,
        reached=lambda obj: obj is not None and obj["metadata"]["uid"] != first["metadata"]["uid"],
    )
    assert again
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")
    with pytest.raises(ApiError, match="Unfreeze timeout must be specified"):
        await put("virtualmachineinstances/web/freeze")
    with pytest.raises(ApiError, match="sandbox runs without QEMU"):
        await put("virtualmachineinstances/web/freeze", {"unfreezeTimeout": "10s"})


async def test_the_run_state_cannot_change_while_a_snapshot_is_taken(
    sandbox: tuple[Cluster, Path], namespace: str
) -> None:
    """The webhook is in the way of the API server, not only a function."""
    cluster, _ = sandbox
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, "web-root", "Block", "64Mi"))
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, "web-data", "Filesystem", "64Mi"))
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, "web", strategy="Halted"))
    await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Stopped")
    body = {"status": {"snapshotInProgress": "s1"}}
    await cluster.patch(VIRTUAL_MACHINE, "web", body, namespace, subresource="status")
    with pytest.raises(InvalidError, match='Cannot update vm running state until snapshot "s1" completes'):
        await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Always"}}, namespace)
    await cluster.patch(VIRTUAL_MACHINE, "web", {"metadata": {"labels": {"x": "y"}}}, namespace)


async def test_deleting_a_running_machine_ends_its_guest_first(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """Instance and pod are gone when the VM is."""
    cluster, _ = sandbox
    await _running(cluster, namespace)
    await cluster.delete(VIRTUAL_MACHINE, "web", namespace)
    await wait_until_gone(cluster, VIRTUAL_MACHINE, "web", namespace)
    assert await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", namespace) is None
    assert await cluster.list(POD, namespace) == []
