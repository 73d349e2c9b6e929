"""VMs that take their size and defaults from instance types and preferences."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import InvalidError
from sandbox.cluster.kinds import (
    CLUSTER_INSTANCETYPE,
    CLUSTER_PREFERENCE,
    CONTROLLER_REVISION,
    INSTANCETYPE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    PREFERENCE,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    VM_RESTORE,
    VM_SNAPSHOT,
    VM_SNAPSHOT_CONTENT,
)
from sandbox.cluster.waiting import wait_until_gone
from sandbox.csi.service import running_storage
from sandbox.kubevirt.instancetypes.expansion import expanded
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import claim, machine, restore, settled, snapshot
from .real_schemas import assert_really_valid

pytestmark = pytest.mark.asyncio(loop_scope="module")
_SIZE = {"cpu": {"guest": 2}, "memory": {"guest": "256Mi"}}
_WISHES = {"cpu": {"preferredCPUTopology": "preferCores"}, "devices": {"preferredDiskBus": "virtio"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster with KubeVirt, a cluster-wide instance type `u1.small` and a preference `linux`."""
    state = tmp_path_factory.mktemp("sandbox")
    settings = Settings(state=state / "kubevirt", volumes=state / "csi", image=None)
    with running_api_server(state / "api") as server:
        async with (
            running_storage(server.kubeconfig, settings.volumes),
            running_kubevirt(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig, "test") as cluster,
        ):
            await cluster.create(CLUSTER_INSTANCETYPE, {"metadata": {"name": "u1.small"}, "spec": _SIZE})
            await cluster.create(CLUSTER_PREFERENCE, {"metadata": {"name": "linux"}, "spec": _WISHES})
            yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, with the claims of a VM `web`."""
    name = f"t-{hashlib.sha256(request.node.name.encode()).hexdigest()[:10]}"
    await cluster.create(NAMESPACE, {"metadata": {"name": name}})
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(name, "web-root", "Block", "16Mi"))
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(name, "web-data", "Filesystem", "16Mi"))
    return name


def _sized(namespace: str, instancetype: Object, preference: Object | None = None, **domain: Any) -> Object:
    vm = machine(namespace, "web")
    vm["spec"]["instancetype"] = instancetype
    if preference:
        vm["spec"]["preference"] = preference
    for disk in vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"]:
        del disk["disk"]
    vm["spec"]["template"]["spec"]["domain"] |= domain
    return vm


async def _revision(cluster: Cluster, vm: Object, field: str) -> Object:
    found = await cluster.get(
        CONTROLLER_REVISION, vm["status"][field]["controllerRevisionRef"]["name"], vm["metadata"]["namespace"]
    )
    assert found
    return found


async def test_an_instance_has_what_its_type_says(cluster: Cluster, namespace: str) -> None:
    """CPUs in the preferred topology, memory and disk bus are in the instance; the VM's own spec stays as it was."""
    await cluster.create(VIRTUAL_MACHINE, _sized(namespace, {"name": "u1.small"}, {"name": "linux"}))
    vm = await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")
    vmi = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    assert vmi
    domain = vmi["spec"]["domain"]
    assert domain["cpu"] == {"cores": 2, "sockets": 1, "threads": 1}
    assert domain["memory"] == {"guest": "256Mi"}
    assert [disk["disk"] for disk in domain["devices"]["disks"]] == [{"bus": "virtio"}] * 2
    assert "memory" not in vm["spec"]["template"]["spec"]["domain"]
    assert vm["spec"]["instancetype"]["kind"] == "virtualmachineclusterinstancetype"
    assert_really_valid(vm, "virtualmachines")
    path = f"/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachines/web/expand-spec"
    shown = await cluster.request("GET", path)
    assert "instancetype" not in shown["spec"]
    assert shown["spec"]["template"]["spec"]["domain"]["memory"] == {"guest": "256Mi"}


async def test_the_revision_outlives_its_source(cluster: Cluster, namespace: str) -> None:
    """Named, labelled and owned as KubeVirt does it; a changed or deleted type changes no VM that has used it."""
    await cluster.create(INSTANCETYPE, {"metadata": {"name": "own", "namespace": namespace}, "spec": _SIZE})
    await cluster.create(PREFERENCE, {"metadata": {"name": "own", "namespace": namespace}, "spec": _WISHES})
    source = await cluster.get(INSTANCETYPE, "own", namespace)
    assert source
    matchers = (
        {"name": "own", "kind": "VirtualMachineInstancetype"},
        {"name": "own", "kind": "VirtualMachinePreference"},
    )
    await cluster.create(VIRTUAL_MACHINE, _sized(namespace, *matchers))
    vm = await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")
    revision = await _revision(cluster, vm, "instancetypeRef")
    assert revision["metadata"]["name"] == f"web-own-v1beta1-{source['metadata']['uid']}-1"
    assert revision["metadata"]["ownerReferences"][0]["uid"] == vm["metadata"]["uid"]
    assert revision["metadata"]["labels"]["instancetype.kubevirt.io/object-kind"] == "VirtualMachineInstancetype"
    assert revision["data"]["spec"] == _SIZE
    assert (await _revision(cluster, vm, "preferenceRef"))["data"]["spec"] == _WISHES

    await cluster.delete(INSTANCETYPE, "own", namespace)
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, namespace)
    await wait_until_gone(cluster, VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Always"}}, namespace)
    vmi = await settled(cluster, VIRTUAL_MACHINE_INSTANCE, namespace, "web", phase="Running")
    assert vmi["spec"]["domain"]["memory"] == {"guest": "256Mi"}
    await cluster.delete(VIRTUAL_MACHINE, "web", namespace)
    await wait_until_gone(cluster, CONTROLLER_REVISION, revision["metadata"]["name"], namespace)


async def test_a_snapshot_keeps_revisions_of_its_own(cluster: Cluster, namespace: str) -> None:
    """Those that the spec names: the content names the copy, which the snapshot owns; a restored VM gets one again."""
    await cluster.create(VIRTUAL_MACHINE, _sized(namespace, {"name": "u1.small"}))
    vm = await settled(cluster, VIRTUAL_MACHINE, namespace, "web", printableStatus="Running")
    revision = await _revision(cluster, vm, "instancetypeRef")
    name = revision["metadata"]["name"]
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"instancetype": {"revisionName": name}}}, namespace)
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, namespace)
    await wait_until_gone(cluster, VIRTUAL_MACHINE_INSTANCE, "web", namespace)
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    taken = await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    content = await cluster.get(VM_SNAPSHOT_CONTENT, taken["status"]["virtualMachineSnapshotContentName"], namespace)
    assert content
    named = content["spec"]["source"]["virtualMachine"]["spec"]["instancetype"]["revisionName"]
    assert named == name.replace("web", "s1", 1)
    await cluster.create(VM_RESTORE, restore(namespace, "r1", "copy", "s1"))
    await settled(cluster, VM_RESTORE, namespace, "r1", complete=True)
    restored = await cluster.get(VIRTUAL_MACHINE, "copy", namespace)
    assert restored
    assert restored["spec"]["instancetype"]["revisionName"] == name.replace("web", "copy", 1)
    owners = {}
    for owner in ("s1", "copy"):
        found = await cluster.get(CONTROLLER_REVISION, name.replace("web", owner, 1), namespace)
        assert found
        assert found["data"] == revision["data"]
        owners[owner] = found["metadata"]["ownerReferences"][0]["uid"]
    assert owners == {"s1": taken["metadata"]["uid"], "copy": restored["metadata"]["uid"]}


@pytest.mark.parametrize(
    ("matcher", "domain", "refusal"),
    [
        ({"name": "none"}, {}, "Failure to find instancetype"),
        ({"name": "u1.small", "kind": "VirtualMachineInstancetype"}, {}, "Failure to find instancetype"),
        ({"name": "u1.small", "revisionName": "none"}, {}, "Failure to find instancetype"),
        ({"name": "u1.small"}, {"memory": {"guest": "1Gi"}}, "conflicts with selected instance type"),
        ({"name": "u1.small"}, {"cpu": {"cores": 4}}, "conflicts with selected instance type"),
    ],
)
async def test_admission_refuses_what_cannot_be_expanded(
    cluster: Cluster, namespace: str, matcher: dict[str, str], domain: dict[str, Any], refusal: str
) -> None:
    """A type that does not exist in that scope, and a VM that says itself what its type says."""
    with pytest.raises(InvalidError, match=refusal):
        await cluster.create(VIRTUAL_MACHINE, _sized(namespace, matcher, **domain))


@pytest.mark.parametrize(
    ("topology", "cpu"),
    [
        (None, {"sockets": 2, "cores": 1, "threads": 1}),
        ("sockets", {"sockets": 2, "cores": 1, "threads": 1}),
        ("preferThreads", {"sockets": 1, "cores": 1, "threads": 2}),
        ("cores", {"sockets": 1, "cores": 2, "threads": 1}),
    ],
)
async def test_cpus_are_sockets_unless_somebody_prefers_otherwise(topology: str | None, cpu: dict[str, int]) -> None:
    """All spellings of the preferred topology; a preference never overrules what the VM says."""
    vm = _sized("shop", {"name": "u1.small"}, machine={"type": "q35"})
    wishes: Object = {"machine": {"preferredMachineType": "pc"}}
    wishes |= {"cpu": {"preferredCPUTopology": topology}} if topology else {}
    domain = expanded(vm, {"spec": _SIZE}, {"spec": wishes})["spec"]["template"]["spec"]["domain"]
    assert (domain["cpu"], domain["machine"]) == (cpu, {"type": "q35"})
