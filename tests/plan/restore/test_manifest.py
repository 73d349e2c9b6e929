"""What becomes of a VM's manifest, and of what it depends on, when a restore creates them again."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.restore_options import Identity, RestorePatch
from safehold.plan.names import RESTORED_BY
from safehold.plan.refusal import Refusal
from safehold.plan.restore.machine.manifest import Machine, NewMachine, rebuild, same_content
from safehold.reasons import Reason

REVISION = "orders-u1.2c-12345-1"


def virtual_machine() -> dict[str, Any]:
    """A VM with everything that must not be carried over."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {
            "name": "orders",
            "namespace": "shop",
            "uid": "vm-uid",
            "resourceVersion": "77",
            "generation": 4,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"],
            "ownerReferences": [{"kind": "VirtualMachinePool", "name": "pool", "uid": "x"}],
            "labels": {"app": "orders", "argocd.argoproj.io/instance": "shop", "app.kubernetes.io/instance": "shop"},
            "annotations": {
                "note": "kept",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "restore.kubevirt.io/lastRestoreUID": "x",
                "kubevirt.io/latest-observed-api-version": "v1",
                "argocd.argoproj.io/tracking-id": "x",
            },
        },
        "status": {"ready": True},
        "spec": {
            "running": True,
            "dataVolumeTemplates": [{"metadata": {"name": "orders-data"}}],
            "instancetype": {"name": "u1.2c", "revisionName": REVISION},
            "preference": {"name": "debian", "revisionName": "not-in-the-point"},
            "template": {
                "metadata": {
                    "creationTimestamp": None,
                    "labels": {"kubevirt.io/domain": "orders", "kubevirt.io/nodeName": "node-1"},
                },
                "spec": {
                    "domain": {
                        "firmware": {"uuid": "1-2-3", "serial": "s", "bootloader": {"efi": {}}},
                        "machine": {"type": "pc-q35-rhel9.4.0"},
                        "devices": {"interfaces": [{"name": "default", "macAddress": "02:00:00:00:00:01"}]},
                    },
                    "volumes": [
                        {"name": "root", "persistentVolumeClaim": {"claimName": "orders-root", "hotpluggable": True}},
                        {"name": "data", "dataVolume": {"name": "orders-data"}},
                        {"name": "dump", "memoryDump": {"claimName": "dump"}},
                        {"name": "init", "cloudInitNoCloud": {"secretRef": {"name": "orders-init"}}},
                    ],
                    "utilityVolumes": [{"name": "backup"}],
                },
            },
        },
    }


def secret(**changes: Any) -> dict[str, Any]:
    """A Secret of the VM's namespace."""
    metadata = {"name": "orders-init", "namespace": "shop", "uid": "x", "resourceVersion": "1"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {"a": "Yg=="},
        "type": "Opaque",
    } | changes


def revision() -> dict[str, Any]:
    """The ControllerRevision of the VM's instancetype."""
    owners = [{"kind": "VirtualMachine", "name": "orders", "uid": "vm-uid"}]
    metadata = {"name": REVISION, "namespace": "shop", "uid": "x", "ownerReferences": owners}
    data = {"kind": "VirtualMachineClusterInstancetype", "spec": {"cpu": {"guest": 2}}}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": 1}


def wanted(**changes: Any) -> NewMachine:
    """VM orders-copy in the namespace shop-copy."""
    given: dict[str, Any] = {"namespace": "shop-copy", "vm": "orders-copy", **changes}
    given.setdefault("claims", {"root": "copy-root", "data": "copy-data"})
    return NewMachine(source_namespace="shop", source_vm="orders", restore_uid="r1", **given)


def rebuilt(*objects: dict[str, Any], **changes: Any) -> Machine:
    """The machine out of these objects, or of all three."""
    machine = rebuild(objects or (virtual_machine(), secret(), revision()), wanted(**changes))
    assert isinstance(machine, Machine), machine
    return machine


def test_identity_and_history_stay_behind() -> None:
    """Metadata of the old object, of controllers and of GitOps tools is dropped; the user's own is kept."""
    vm = rebuilt().vm
    assert vm["metadata"] == {
        "name": "orders-copy",
        "namespace": "shop-copy",
        "labels": {"app": "orders", RESTORED_BY: "r1"},
        "annotations": {"note": "kept"},
    }
    assert "status" not in vm
    assert vm["spec"]["template"]["metadata"]["labels"] == {"kubevirt.io/domain": "orders"}


def test_it_is_created_halted() -> None:
    """`running` and `runStrategy` exclude each other: only Halted is left, and what it was is told."""
    machine = rebuilt()
    assert machine.vm["spec"]["runStrategy"] == "Halted"
    assert "running" not in machine.vm["spec"]
    assert machine.run_strategy == "Always"


def test_disks_become_the_restored_claims() -> None:
    """DataVolumes and their templates become claims, memory dumps go, all else stays."""
    spec = rebuilt().vm["spec"]
    assert "dataVolumeTemplates" not in spec
    assert spec["template"]["spec"]["volumes"] == [
        {"name": "root", "persistentVolumeClaim": {"claimName": "copy-root", "hotpluggable": True}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "copy-data"}},
        {"name": "init", "cloudInitNoCloud": {"secretRef": {"name": "orders-init"}}},
    ]
    assert "utilityVolumes" not in spec["template"]["spec"]


@pytest.mark.parametrize(
    ("place", "keeps"),
    [
        ({"namespace": "shop", "vm": "orders"}, True),
        ({"namespace": "shop", "vm": "orders-2"}, False),
        ({"namespace": "shop-copy", "vm": "orders"}, False),
    ],
)
def test_a_copy_gets_an_identity_of_its_own(place: dict[str, str], keeps: bool) -> None:
    """Firmware ids and MAC addresses are kept only under the old name in the old namespace."""
    domain = rebuilt(**place).vm["spec"]["template"]["spec"]["domain"]
    assert ("uuid" in domain["firmware"], "serial" in domain["firmware"]) == (keeps, keeps)
    assert domain["firmware"]["bootloader"] == {"efi": {}}
    assert domain["machine"] == {"type": "pc-q35-rhel9.4.0"}
    assert ("macAddress" in domain["devices"]["interfaces"][0]) == keeps


def test_revisions_get_new_names_and_the_vm_follows() -> None:
    """The copy has its own revision, which does not go with the original; one that is missing is not named."""
    machine = rebuilt()
    made = next(found for found in machine.dependencies if found["kind"] == "ControllerRevision")
    assert machine.vm["spec"]["instancetype"] == {"name": "u1.2c", "revisionName": made["metadata"]["name"]}
    assert made["metadata"]["name"] != REVISION
    assert "ownerReferences" not in made["metadata"]
    assert made["data"] == revision()["data"]
    assert machine.vm["spec"]["preference"] == {"name": "debian"}


def test_dependencies_are_written_into_the_restores_namespace() -> None:
    """Secrets keep type and data, and lose everything that ties them to the old object."""
    made = next(found for found in rebuilt().dependencies if found["kind"] == "Secret")
    assert made["metadata"] == {"name": "orders-init", "namespace": "shop-copy", "labels": {RESTORED_BY: "r1"}}
    assert (made["type"], made["data"]) == ("Opaque", {"a": "Yg=="})


def test_service_accounts_come_without_their_secrets() -> None:
    """What a ServiceAccount named in the old cluster is not named in the new one."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "sa", "namespace": "shop"},
        "secrets": [{"name": "token"}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    made = rebuilt(virtual_machine(), account).dependencies[0]
    assert set(made) == {"apiVersion", "kind", "metadata"}


FORGED: list[tuple[dict[str, Any], str]] = [
    (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"name": "cluster-admin"},
        },
        "ClusterRoleBinding",
    ),
    ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}, "Pod"),
    ({"apiVersion": "evil.dev/v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}, "Secret"),
    (secret(metadata={"name": "s", "namespace": "kube-system"}), "kube-system"),
    (secret(type="kubernetes.io/service-account-token"), "grant access"),
    ({"kind": "Secret"}, "no whole object"),
]


@pytest.mark.parametrize(("forged", "words"), FORGED)
def test_forged_objects_refuse_the_whole_point(forged: dict[str, Any], words: str) -> None:
    """A manifest is untrusted input: other kinds, other namespaces and token Secrets are refused and named."""
    refusal = rebuild([virtual_machine(), forged], wanted())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RESTORE_NOT_ALLOWED
    assert words in refusal.message


def test_cluster_wide_types_are_left_alone() -> None:
    """A point may hold the cluster's instancetype for people to read; it is never created."""
    cluster_wide = {
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": "VirtualMachineClusterInstancetype",
        "metadata": {"name": "u1.2c"},
    }
    assert rebuilt(virtual_machine(), cluster_wide).dependencies == ()


@pytest.mark.parametrize("count", [0, 2])
def test_a_point_without_exactly_its_vm_is_damaged(count: int) -> None:
    """There must be one VM, of the name that was backed up."""
    refusal = rebuild([virtual_machine()] * count, wanted())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.DAMAGED


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        ([{"name": "root", "persistentVolumeClaim": {"claimName": "a"}}], "no use for volume data"),
        (
            [
                *virtual_machine()["spec"]["template"]["spec"]["volumes"],
                {"name": "extra", "dataVolume": {"name": "extra"}},
            ],
            "volume extra",
        ),
    ],
)
def test_volumes_of_point_and_vm_must_match(volumes: list[Any], words: str) -> None:
    """Nothing is left out silently: neither a disk of the VM nor a volume of the point."""
    vm = virtual_machine()
    vm["spec"]["template"]["spec"]["volumes"] = volumes
    refusal = rebuild([vm], wanted())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.VOLUME_MISMATCH
    assert words in refusal.message


def test_the_point_itself_is_not_changed() -> None:
    """Rebuilding works on copies: it can be repeated at every look."""
    objects = [virtual_machine(), secret(), revision()]
    before = deepcopy(objects)
    assert rebuild(objects, wanted()) == rebuild(objects, wanted())
    assert objects == before


_LEAVES = st.dictionaries(st.text("abc", min_size=1), st.text("xyz"), max_size=3)


@given(one=_LEAVES, other=_LEAVES)
def test_objects_are_the_same_by_what_they_hold(one: dict[str, str], other: dict[str, str]) -> None:
    """Metadata does not count; data does."""
    left, right = secret(data=one), secret(data=other, metadata={"name": "orders-init", "labels": {"a": "b"}})
    assert same_content(left, right) == (one == other)


ADDRESS, FIRMWARE = "02:00:00:00:00:01", {"uuid": "1-2-3", "serial": "s", "bootloader": {"efi": {}}}


@pytest.mark.parametrize(
    ("vm", "identity", "has_address", "has_firmware"),
    [
        ("orders-copy", None, False, False),
        ("orders", None, True, True),
        ("orders-copy", {"macAddresses": "Keep"}, True, False),
        ("orders-copy", {"firmware": "Keep"}, False, True),
        ("orders", {"macAddresses": "Regenerate"}, False, True),
        ("orders", {"macAddresses": "Keep", "firmware": "Regenerate"}, True, False),
    ],
)
def test_what_tells_the_vm_from_its_original(
    vm: str, identity: dict[str, str] | None, has_address: bool, has_firmware: bool
) -> None:
    """A copy gets MAC addresses and firmware ids of its own, the same VM again keeps them; both unless asked."""
    asked = Identity.model_validate(identity) if identity else None
    domain = rebuilt(vm=vm, namespace="shop", identity=asked).vm["spec"]["template"]["spec"]["domain"]
    interface = domain["devices"]["interfaces"][0]
    assert interface.get("macAddress") == (ADDRESS if has_address else None)
    assert domain["firmware"] == (FIRMWARE if has_firmware else {"bootloader": {"efi": {}}})


def networked() -> dict[str, Any]:
    """A VM on the pod network and on two others, one of them named with its namespace."""
    vm = virtual_machine()
    vm["spec"]["template"]["spec"]["networks"] = [
        {"name": "default", "pod": {}},
        {"name": "blue", "multus": {"networkName": "blue"}},
        {"name": "red", "multus": {"networkName": "net/red"}},
    ]
    return vm


def test_networks_that_are_called_otherwise() -> None:
    """A mapped network is named by its new name, and its definition out of the point is not created."""
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "blue", "namespace": "shop"},
        "spec": {"config": "{}"},
    }
    machine = rebuilt(networked(), definition, networks={"shop/blue": "net/green"})
    networks = machine.vm["spec"]["template"]["spec"]["networks"]
    assert [(each.get("multus") or {}).get("networkName") for each in networks] == [None, "net/green", "net/red"]
    assert not machine.dependencies
    unmapped = rebuilt(networked(), definition, networks={"net/blue": "green"})
    assert [each["metadata"]["name"] for each in unmapped.dependencies] == ["blue"]


def test_a_volume_that_was_not_asked_for_takes_its_device_along() -> None:
    """KubeVirt refuses a disk without a volume."""
    vm = virtual_machine()
    vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"] = [
        {"name": name, "disk": {"bus": "virtio"}} for name in ("root", "data", "init")
    ]
    instance = rebuilt(vm, claims={"root": "copy-root"}, left_out=["data"]).vm["spec"]["template"]["spec"]
    assert [volume["name"] for volume in instance["volumes"]] == ["root", "init"]
    assert [disk["name"] for disk in instance["domain"]["devices"]["disks"]] == ["root", "init"]


def test_further_labels_are_the_vms_own() -> None:
    """They win over the ones that it had; the mark of the restore stays."""
    labels = rebuilt(labels={"app": "drill", "audit": "yes"}).vm["metadata"]["labels"]
    assert labels == {"app": "drill", "audit": "yes", RESTORED_BY: "r1"}


def test_patches_see_the_objects_as_they_will_be_created() -> None:
    """Names are the restored ones; a patch that fails refuses the whole VM."""
    patch = {
        "target": {"kind": "VirtualMachine", "name": "orders-copy"},
        "patch": '[{"op": "add", "path": "/spec/template/spec/hostname", "value": "copy"}]',
    }
    assert rebuilt(patches=[RestorePatch.model_validate(patch)]).vm["spec"]["template"]["spec"]["hostname"] == "copy"
    wrong = RestorePatch.model_validate({**patch, "target": {"kind": "VirtualMachine", "name": "orders"}})
    refused = rebuild([virtual_machine()], wanted(patches=[wrong]))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.PATCH_REFUSED
