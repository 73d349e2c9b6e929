"""What belongs to a VM beside its disks, and what must not be taken along."""

import copy
from typing import Any

import pytest

from safehold.errors import NotFoundError
from safehold.kube.backup.dependencies import read_machine, references, with_revisions
from safehold.kube.backup.machines import keep_machine, kept_machine, kept_machine_bytes
from safehold.kube.client import Cluster
from safehold.kube.kinds import CONFIG_MAP, SECRET, SERVICE_ACCOUNT, VM


def machine(namespace: str = "shop", **instance: Any) -> dict[str, Any]:
    """A VirtualMachine whose instance has these parts."""
    template = {"metadata": {}, "spec": {"domain": {"devices": {}}, **instance}}
    return {
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {"runStrategy": "Halted", "template": template},
    }


VOLUMES = [
    ({"secret": {"secretName": "s"}}, {("Secret", "s")}),
    ({"configMap": {"name": "c"}}, {("ConfigMap", "c")}),
    ({"serviceAccount": {"serviceAccountName": "a"}}, {("ServiceAccount", "a")}),
    ({"cloudInitNoCloud": {"secretRef": {"name": "s"}}}, {("Secret", "s")}),
    (
        {"cloudInitConfigDrive": {"secretRef": {"name": "s"}, "networkDataSecretRef": {"name": "n"}}},
        {("Secret", "s"), ("Secret", "n")},
    ),
    ({"cloudInitNoCloud": {"userData": "#cloud-config"}}, set()),
    ({"sysprep": {"secret": {"name": "s"}}}, {("Secret", "s")}),
    ({"sysprep": {"configMap": {"name": "c"}}}, {("ConfigMap", "c")}),
    ({"containerDisk": {"image": "i", "imagePullSecret": "p"}}, {("Secret", "p")}),
    ({"persistentVolumeClaim": {"claimName": "data"}}, set()),
    ({"emptyDisk": {"capacity": "1Gi"}}, set()),
]


def named(vm: dict[str, Any]) -> set[tuple[str, str]]:
    """Kind and name of what the VM refers to."""
    return {(kind.kind, name) for kind, name in references(vm)}


@pytest.mark.parametrize(("volume", "wanted"), VOLUMES)
def test_what_a_volume_refers_to(volume: dict[str, Any], wanted: set[tuple[str, str]]) -> None:
    """Secrets, ConfigMaps and service accounts behind volumes; claims are backed up as disks."""
    assert named(machine(volumes=[{"name": "v", **volume}])) == wanted


def test_what_an_instance_refers_to_otherwise() -> None:
    """Access credentials, a kernel's pull secret, and networks of the own namespace only."""
    vm = machine(
        accessCredentials=[
            {"sshPublicKey": {"source": {"secret": {"secretName": "ssh"}}}},
            {"userPassword": {"source": {"secret": {"secretName": "password"}}}},
        ],
        networks=[
            {"name": "pod", "pod": {}},
            {"name": "own", "multus": {"networkName": "lan"}},
            {"name": "named", "multus": {"networkName": "shop/wan"}},
            {"name": "foreign", "multus": {"networkName": "other-tenant/lan"}},
        ],
    )
    vm["spec"]["template"]["spec"]["domain"]["firmware"] = {"kernelBoot": {"container": {"imagePullSecret": "pull"}}}
    networks = {("NetworkAttachmentDefinition", "lan"), ("NetworkAttachmentDefinition", "wan")}
    assert named(vm) == {("Secret", "ssh"), ("Secret", "password"), ("Secret", "pull"), *networks}


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        ('[{"configMap": {"name": "hook", "key": "k"}}]', {("ConfigMap", "hook")}),
        ('[{"image": "sidecar"}]', set()),
        ("no JSON", set()),
        ('{"configMap": {"name": "hook"}}', set()),
    ],
)
def test_hook_sidecars_name_config_maps(annotation: str, wanted: set[tuple[str, str]]) -> None:
    """An annotation that KubeVirt cannot read names nothing."""
    vm = machine()
    vm["spec"]["template"]["metadata"]["annotations"] = {"hooks.kubevirt.io/hookSidecars": annotation}
    assert named(vm) == wanted


def test_instance_types_are_taken_with_their_revisions() -> None:
    """The cluster's kinds are the defaults; names of kinds are compared without case, as KubeVirt does."""
    vm = machine()
    vm["spec"]["instancetype"] = {"name": "large", "revisionName": "db-large-1"}
    vm["spec"]["preference"] = {"name": "linux", "kind": "virtualmachinepreference"}
    assert named(vm) == {
        ("VirtualMachineClusterInstancetype", "large"),
        ("ControllerRevision", "db-large-1"),
        ("VirtualMachinePreference", "linux"),
    }


async def created(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """A VM with a Secret that exists, a ConfigMap that does not, and a service account."""
    vm = machine(
        namespace,
        volumes=[
            {"name": "s", "secret": {"secretName": "password"}},
            {"name": "c", "configMap": {"name": "missing", "optional": True}},
            {"name": "a", "serviceAccount": {"serviceAccountName": "robot"}},
        ],
    )
    await cluster.create(SECRET, {"metadata": {"name": "password", "namespace": namespace}, "data": {"p": "c2VjcmV0"}})
    await cluster.create(SECRET, {"metadata": {"name": "unrelated", "namespace": namespace}, "data": {}})
    await cluster.create(SERVICE_ACCOUNT, {"metadata": {"name": "robot", "namespace": namespace}})
    return await cluster.create(VM, copy.deepcopy(vm))


async def test_the_manifest_and_what_exists_of_its_dependencies_are_read(cluster: Cluster, namespace: str) -> None:
    """The VM comes first; what it does not name is not read; managed fields are noise."""
    vm = await created(cluster, namespace)
    found = await read_machine(cluster, namespace, "db")
    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [
        ("VirtualMachine", "db"),
        ("Secret", "password"),
        ("ServiceAccount", "robot"),
    ]
    assert found[0]["metadata"]["uid"] == vm["metadata"]["uid"]
    assert not any("managedFields" in item["metadata"] for item in found)


def test_a_revision_that_is_in_the_status_only_is_written_into_the_spec() -> None:
    """Newer KubeVirt keeps it there; without it a restore would take whatever the instance type is by then."""
    vm = machine()
    vm["spec"]["instancetype"] = {"name": "large"}
    vm["spec"]["preference"] = {"name": "linux", "revisionName": "pinned"}
    vm["status"] = {
        field: {"controllerRevisionRef": {"name": f"db-{field}-7"}} for field in ("instancetypeRef", "preferenceRef")
    }
    found = with_revisions(vm)["spec"]
    assert found["instancetype"]["revisionName"] == "db-instancetypeRef-7"
    assert found["preference"]["revisionName"] == "pinned"


async def test_manifests_are_kept_for_the_run_and_replaced_by_a_later_capture(cluster: Cluster, namespace: str) -> None:
    """The Secret holds what was read last, in the operator's namespace, and knows its size."""
    await created(cluster, namespace)
    keep = {"namespace": namespace, "vm": "db", "secret": "kept", "labels": {"a": "b"}}
    await keep_machine(cluster, **keep, operator_namespace="default")  # type: ignore[arg-type]  # a table of arguments
    first = await kept_machine(cluster, "default", "kept")
    await cluster.create(CONFIG_MAP, {"metadata": {"name": "missing", "namespace": namespace}})
    await keep_machine(cluster, **keep, operator_namespace="default")  # type: ignore[arg-type]  # a table of arguments
    second = await kept_machine(cluster, "default", "kept")
    assert (len(first), len(second)) == (3, 4)
    assert (await kept_machine_bytes(cluster, "default", "kept") or 0) > 100
    await cluster.delete(SECRET, "kept", "default")
    assert await kept_machine_bytes(cluster, "default", "kept") is None
    with pytest.raises(NotFoundError):
        await kept_machine(cluster, "default", "kept")


async def test_manifests_too_large_for_a_secret_are_measured_not_kept(cluster: Cluster, namespace: str) -> None:
    """The plan learns the size, and refuses; nothing is cut to fit."""
    volumes = [{"name": f"v{number}", "configMap": {"name": f"big{number}"}} for number in range(2)]
    await cluster.create(VM, machine(namespace, volumes=volumes))
    for number in range(2):
        data = {"blob": "x" * 900_000}
        await cluster.create(CONFIG_MAP, {"metadata": {"name": f"big{number}", "namespace": namespace}, "data": data})
    await keep_machine(cluster, namespace=namespace, vm="db", secret="large", labels={}, operator_namespace=namespace)
    assert (await kept_machine_bytes(cluster, namespace, "large") or 0) > 1_800_000


async def test_a_vm_that_went_meanwhile_is_not_found(cluster: Cluster, namespace: str) -> None:
    """Between the look and the capture the VM was deleted."""
    with pytest.raises(NotFoundError):
        await read_machine(cluster, namespace, "db")
