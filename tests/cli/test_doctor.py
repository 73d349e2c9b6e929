"""`safehold doctor` against an API server: what it says of a cluster, and what it removes."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gen_crds import CRDS
from safehold.kube.backup.group.kinds import kinds_of
from safehold.kube.client import Cluster, Manifest
from safehold.kube.doctor.rights import NEEDED
from safehold.kube.kinds import (
    CLAIM,
    CLUSTER_BACKUP_TARGET,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    KUBEVIRT,
    NAMESPACE,
    SECRET,
    STORAGE_CLASS,
    STORAGE_PROFILE,
    VM,
    VM_BACKUP,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.plan.names import BASE_OF, GROUP_MARK, ORIGINAL_POLICY, VM_UID, owner_labels
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.group_manifests import GROUP_DEFINITIONS
from sandbox.csi.manifests import DEFINITIONS as CSI
from sandbox.demo import chart
from sandbox.kubevirt.api.definitions import DEFINITIONS as KUBEVIRT_KINDS

SHOP, OPERATOR = "shop", "safehold"


@dataclass(frozen=True)
class Clinic:
    """A cluster, and the doctor for it."""

    cluster: Cluster
    kubeconfig: Path

    def visit(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """What `safehold doctor --output json` says."""
        done = self.say("--output", "json", *arguments, code=code)
        document: dict[str, Any] = json.loads(done)
        return document

    def say(self, *arguments: str, code: int = 0) -> str:
        """What `safehold doctor` prints."""
        command = [sys.executable, "-m", "safehold", "doctor", "--kubeconfig", str(self.kubeconfig), *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.kubeconfig.parent), "COLUMNS": "400"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def level(self, check: str, code: int = 0) -> tuple[str, str]:
        """Level and message of one check."""
        checks = self.visit(code=code)["checks"]
        return next((each["level"], each["message"]) for each in checks if each["check"] == check)


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    """All definitions, a controller that is ready, one target and one VM whose storage can be snapshotted."""
    with running_api_server(tmp_path) as server:
        async with SandboxCluster.connect(server.kubeconfig, "tests") as sandbox:
            await install_definitions(sandbox, [*KUBEVIRT_KINDS, *CSI])
        async with Cluster.connect(server.kubeconfig) as cluster:
            for path in sorted(CRDS.glob("*.yaml")):
                await cluster.create(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))
            for name in (SHOP, OPERATOR):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            await _furnish(cluster)
            yield Clinic(cluster, server.kubeconfig)


async def _furnish(cluster: Cluster) -> None:
    rendered = next(text for name, text in chart.render({}).items() if name.endswith("rbac.yaml"))
    for manifest in yaml.safe_load_all(rendered):
        await cluster.connection.json("POST", _path(manifest), body=manifest, doing="install the chart")
    template = {
        "metadata": {"labels": {"app": "safehold"}},
        "spec": {"containers": [{"name": "controller", "image": "safehold"}]},
    }
    deployment: Manifest = {
        "metadata": {"name": "safehold", "namespace": OPERATOR, "labels": {"app.kubernetes.io/name": "safehold"}},
        "spec": {"selector": {"matchLabels": {"app": "safehold"}}, "template": template},
    }
    await cluster.create(DEPLOYMENT, deployment)
    ready = {"status": {"replicas": 1, "readyReplicas": 1}}
    await cluster.merge_patch(DEPLOYMENT, "safehold", OPERATOR, ready, subresource="status")
    await cluster.create(KUBEVIRT, {"metadata": {"name": "kubevirt", "namespace": OPERATOR}, "spec": {}})
    await cluster.create(STORAGE_CLASS, {"metadata": {"name": "fast"}, "provisioner": "csi.example"})
    await _snapshot_class(cluster, "snapshots")
    await _machine(cluster)


def _path(manifest: Manifest) -> str:
    plural = str(manifest["kind"]).lower() + "s"
    namespace: str | None = manifest["metadata"].get("namespace")
    return f"/apis/{manifest['apiVersion']}/" + (f"namespaces/{namespace}/" if namespace else "") + plural


async def _snapshot_class(cluster: Cluster, name: str) -> None:
    manifest = {"metadata": {"name": name}, "driver": "csi.example", "deletionPolicy": "Delete"}
    await cluster.create(VOLUME_SNAPSHOT_CLASS, manifest)


async def _machine(cluster: Cluster) -> None:
    claim: Manifest = {
        "metadata": {"name": "disk", "namespace": SHOP},
        "spec": {
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    await cluster.create(CLAIM, claim)
    volumes = [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}]
    instance = {"domain": {"devices": {}}, "volumes": volumes}
    machine: Manifest = {
        "metadata": {"name": "db", "namespace": SHOP},
        "spec": {"runStrategy": "Halted", "template": {"spec": instance}},
    }
    await cluster.create(VM, machine)


async def test_a_cluster_that_is_well(clinic: Clinic) -> None:
    """Every check is ok, but that there is no target yet; the exit code is 0, and each line begins with its level."""
    document = clinic.visit()
    assert document["well"] is True
    assert {each["check"]: each["level"] for each in document["checks"] if each["level"] != "ok"} == {"targets": "warn"}
    assert document["orphans"] == []
    lines = clinic.say().splitlines()
    assert lines
    assert {line.split()[0] for line in lines} == {"ok", "warn"}


async def test_definitions_of_another_version_are_named_with_what_they_lack(clinic: Clinic) -> None:
    """Helm leaves old definitions behind an upgrade: the API server would drop the new fields without a word."""
    name = "vmbackups.safehold.dev"
    definition = await clinic.cluster.read(CUSTOM_RESOURCE_DEFINITION, name)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["memoryDump"]
    await clinic.cluster.merge_patch(CUSTOM_RESOURCE_DEFINITION, name, None, {"spec": definition["spec"]})
    level, message = clinic.level("definitions", code=1)
    assert level == "fail"
    assert f"{name} is of another version: it has no spec.memoryDump" in message


@pytest.mark.parametrize(
    ("developer", "version", "level"),
    [
        ({"featureGates": ["Snapshot"]}, "v1.8.4", "ok"),
        ({}, "v1.8.4", "fail"),
        ({}, "v1.9.0", "ok"),
        ({"disabledFeatureGates": ["Snapshot"]}, "v1.9.0", "fail"),
    ],
)
async def test_the_snapshot_gate_is_judged_by_kubevirts_version(
    clinic: Clinic, developer: dict[str, Any], version: str, level: str
) -> None:
    """Up to 1.8 it has to be set; later it is on unless it is disabled."""
    configuration = {"spec": {"configuration": {"developerConfiguration": developer}}}
    await clinic.cluster.merge_patch(KUBEVIRT, "kubevirt", OPERATOR, configuration)
    status = {"status": {"observedKubeVirtVersion": version, "phase": "Deployed"}}
    await clinic.cluster.merge_patch(KUBEVIRT, "kubevirt", OPERATOR, status, subresource="status")
    assert clinic.level("snapshot gate", code=int(level == "fail"))[0] == level


async def test_storage_without_one_snapshot_class_names_the_vms(clinic: Clinic) -> None:
    """Two classes without a default and no class at all are warnings: other VMs can be backed up all the same."""
    await _snapshot_class(clinic.cluster, "others")
    level, message = clinic.level("storage")
    assert (level, "2 VolumeSnapshotClasses and no one default" in message) == ("warn", True)
    for name in ("snapshots", "others"):
        await clinic.cluster.delete(VOLUME_SNAPSHOT_CLASS, name)
    level, message = clinic.level("storage", code=1)
    assert (level, "shop/db cannot be backed up" in message) == ("warn", True)


@pytest.mark.parametrize(
    ("preferred", "level", "said"), [("others", "ok", "can be snapshotted"), ("gone", "warn", "gone")]
)
async def test_the_snapshot_class_of_a_storage_profile_is_the_one(
    clinic: Clinic, preferred: str, level: str, said: str
) -> None:
    """Several classes are no trouble where CDI names one; one that is not there is."""
    await _snapshot_class(clinic.cluster, "others")
    await clinic.cluster.create(STORAGE_PROFILE, {"metadata": {"name": "fast"}, "spec": {"snapshotClass": preferred}})
    found, message = clinic.level("storage", code=0)
    assert (found, said in message) == (level, True)


async def test_rights_that_are_missing_are_named(clinic: Clinic) -> None:
    """They are those of the operator's account, whatever the person who asks may do."""
    level, message = clinic.level("rights")
    assert level == "ok", message
    document = clinic.visit("--service-account", "somebody", code=1)
    rights = next(each for each in document["checks"] if each["check"] == "rights")
    assert rights["level"] == "fail"
    assert all(f"{right.verb} {right.resource}" in rights["message"] for right in NEEDED)


async def test_a_target_that_is_not_ready_fails_with_its_own_words(clinic: Clinic) -> None:
    """The doctor does not judge a target anew; it repeats what the controller found."""
    good = yaml.safe_load((CRDS.parent / "tests/crds/cases/clusterbackuptarget/good.yaml").read_text())
    target: Manifest = {"metadata": {"name": "primary"}, "spec": good["spec"]}
    await clinic.cluster.create(CLUSTER_BACKUP_TARGET, target)
    level, message = clinic.level("targets", code=1)
    assert (level, message) == ("fail", "ClusterBackupTarget primary: nobody has looked at it yet")


async def test_orphans_are_listed_removed_when_told_and_nothing_else_is(clinic: Clinic) -> None:
    """Of a run that is gone all goes, held snapshots with their policy set back; living runs and strangers stay."""
    cluster = clinic.cluster
    backup = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "own"}}
    living = await cluster.create(VM_BACKUP, {"metadata": {"name": "living", "namespace": SHOP}, "spec": backup})
    for uid, name in (("gone", "lost"), (living["metadata"]["uid"], "living")):
        labels = owner_labels("VMBackup", uid, name=name, namespace=SHOP, vm="db")
        await _children_of(cluster, name, labels)
    await cluster.create(SECRET, {"metadata": {"name": "stranger", "namespace": OPERATOR}})

    found = clinic.visit()
    assert {(orphan["kind"], orphan["name"]) for orphan in found["orphans"]} == {
        ("Secret", "lost"),
        ("VirtualMachineSnapshot", "lost"),
        ("VolumeSnapshotContent", "lost"),
    }
    assert {orphan["why"] for orphan in found["orphans"]} == {"VMBackup shop/lost does not exist any more"}
    assert "add --yes" in clinic.say("--remove")
    assert len(clinic.visit()["orphans"]) == 3, "a dry run removes nothing"

    assert clinic.visit("--remove", "--yes")["removed"] == [{"madeBy": "VMBackup shop/lost", "complete": True}]
    assert clinic.visit()["orphans"] == []
    assert {item["metadata"]["name"] for item in await cluster.list(SECRET, OPERATOR)} == {"living", "stranger"}
    assert [item["metadata"]["name"] for item in await cluster.list(VM_SNAPSHOT, SHOP)] == ["living"]
    kept = await cluster.get(VOLUME_SNAPSHOT_CONTENT, "living")
    assert kept is not None
    assert kept["spec"]["deletionPolicy"] == "Retain"
    assert await cluster.get(VOLUME_SNAPSHOT_CONTENT, "lost") is None, "only our hold kept it when its snapshot went"


async def test_bases_are_counted_and_those_of_vms_that_are_gone_named(clinic: Clinic) -> None:
    """They outlive their runs on purpose, so they are no orphans; without a controller nobody would end them."""
    cluster = clinic.cluster
    vm = await cluster.read(VM, "db", SHOP)
    for name, vm_uid in (("kept", vm["metadata"]["uid"]), ("lost", "uid-of-another")):
        labels = {**owner_labels("VMBackup", "gone", name="gone"), BASE_OF: "claim", VM_UID: vm_uid}
        content: Manifest = {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "driver": "csi.example",
                "deletionPolicy": "Delete",
                "source": {"snapshotHandle": f"handle-{name}"},
                "volumeSnapshotRef": {"namespace": OPERATOR, "name": name},
            },
        }
        await cluster.create(VOLUME_SNAPSHOT_CONTENT, content)
        level, message = clinic.level("bases")
        assert level == ("ok" if name == "kept" else "warn"), message
    assert "2 snapshots are kept" in message
    assert "1 of VMs that are gone" in message
    assert clinic.visit()["orphans"] == []


async def test_group_snapshots_are_told_by_driver(clinic: Clinic) -> None:
    """Not installed, without a class, with one that only retains, and with one that serves."""
    assert "serves no VolumeGroupSnapshots" in clinic.level("group snapshots")[1]
    await _with_groups(clinic)
    assert "no VolumeGroupSnapshotClass" in clinic.level("group snapshots")[1]
    for name, policy, level in (("kept", "Retain", "warn"), ("fast", "Delete", "ok")):
        manifest = {"metadata": {"name": name}, "driver": "csi.example", "deletionPolicy": policy}
        await clinic.cluster.create(kinds_of("v1").snapshot_class, manifest)
        found, message = clinic.level("group snapshots")
        assert (found, "csi.example" in message) == (level, True)


async def test_what_a_lost_run_left_of_its_group_is_removed(clinic: Clinic) -> None:
    """The group goes, and of the VM's claim nothing but the mark; that of a run which is there stays."""
    cluster, kinds = clinic.cluster, kinds_of("v1")
    await _with_groups(clinic)
    spec = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "own"}}
    living = await cluster.create(VM_BACKUP, {"metadata": {"name": "living", "namespace": SHOP}, "spec": spec})
    claim = await cluster.read(CLAIM, "disk", SHOP)
    other = {"metadata": {"name": "other", "namespace": SHOP}, "spec": claim["spec"]}
    await cluster.create(CLAIM, other)
    for name, uid in (("disk", "gone"), ("other", living["metadata"]["uid"])):
        await cluster.merge_patch(CLAIM, name, SHOP, {"metadata": {"labels": {GROUP_MARK: uid}}})
    labels = owner_labels("VMBackup", "gone", name="lost", namespace=SHOP, vm="db")
    group = {
        "metadata": {"name": "lost", "namespace": SHOP, "labels": labels},
        "spec": {"source": {"selector": {"matchLabels": {GROUP_MARK: "gone"}}}},
    }
    await cluster.create(kinds.snapshot, group)
    assert {(orphan["kind"], orphan["name"]) for orphan in clinic.visit()["orphans"]} == {
        ("VolumeGroupSnapshot", "lost"),
        ("Mark on PersistentVolumeClaim", "disk"),
    }
    assert all(removal["complete"] for removal in clinic.visit("--remove", "--yes")["removed"])
    assert await cluster.get(kinds.snapshot, "lost", SHOP) is None
    marks = {item["metadata"]["name"] for item in await cluster.list(CLAIM, SHOP, labels=GROUP_MARK)}
    assert marks == {"other"}
    assert await cluster.get(CLAIM, "disk", SHOP)


async def _with_groups(clinic: Clinic) -> None:
    """The definitions of group snapshots, as the CSI snapshot controller brings them."""
    async with SandboxCluster.connect(clinic.kubeconfig, "tests") as sandbox:
        await install_definitions(sandbox, GROUP_DEFINITIONS)


async def _children_of(cluster: Cluster, name: str, labels: dict[str, str]) -> None:
    await cluster.create(SECRET, {"metadata": {"name": name, "namespace": OPERATOR, "labels": labels}})
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
    snapshot = {"metadata": {"name": name, "namespace": SHOP, "labels": labels}, "spec": {"source": source}}
    await cluster.create(VM_SNAPSHOT, snapshot)
    content: Manifest = {
        "metadata": {"name": name, "labels": labels, "annotations": {ORIGINAL_POLICY: "Delete"}},
        "spec": {
            "driver": "csi.example",
            "deletionPolicy": "Retain",
            "source": {"snapshotHandle": f"handle-{name}"},
            "volumeSnapshotRef": {"namespace": SHOP, "name": f"of-{name}"},
        },
    }
    await cluster.create(VOLUME_SNAPSHOT_CONTENT, content)


async def test_a_cluster_without_anything_fails_check_by_check(tmp_path: Path) -> None:
    """A missing component is one line with what to install, never a traceback, and the other checks go on."""
    with running_api_server(tmp_path) as server:
        async with Cluster.connect(server.kubeconfig) as cluster:
            document = Clinic(cluster, server.kubeconfig).visit(code=1)
    levels = {each["check"]: each["level"] for each in document["checks"]}
    assert {name for name, level in levels.items() if level == "fail"} == {
        "definitions",
        "controller",
        "rights",
        "kubevirt",
        "csi snapshots",
        "storage",
        "targets",
        "guests",
        "held snapshots",
        "bases",
    }
    assert all(each["remedy"] for each in document["checks"] if each["level"] == "fail")


def test_without_a_kubeconfig_it_is_wrong_usage(tmp_path: Path) -> None:
    """As on a machine that never saw a cluster: one sentence, with what to do."""
    command = [sys.executable, "-m", "safehold", "doctor", "--kubeconfig", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no kubeconfig")
    assert done.stderr.count("\n") == 1
