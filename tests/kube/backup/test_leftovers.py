"""How far a clean-up looks: to what has to go first, and at everything once that is gone."""

import json
from collections import Counter
from typing import Any

from safehold.kube.backup.leftovers import observe_leftovers
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLAIM, JOB, SECRET, Kind
from safehold.plan.backup.facts import Leftovers
from safehold.plan.names import owner_labels
from sandbox.apiserver import EmbeddedApiServer
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS as CSI

UID = "run-uid"
SPECS: dict[str, dict[str, Any]] = {
    "Job": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "w", "image": "i"}]}}}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "Secret": {"type": "Opaque"},
}


async def test_what_goes_later_is_looked_at_later(
    cluster: Cluster, namespace: str, kube_server: EmbeddedApiServer
) -> None:
    """Worker, then claims, then the rest: each look ends at what others have to wait for."""
    async with SandboxCluster.connect(kube_server.kubeconfig, "tests") as sandbox:
        await install_definitions(sandbox, CSI)
    labels = owner_labels("VMBackup", UID, name="b", namespace=namespace)

    async def make(kind: Kind) -> None:
        await cluster.create(
            kind, {"metadata": {"name": "x", "namespace": namespace, "labels": labels}, **SPECS[kind.kind]}
        )

    async def look() -> Leftovers:
        return await observe_leftovers(cluster, UID, operator_namespace=namespace, namespace=namespace)

    for kind in (JOB, CLAIM, SECRET):
        await make(kind)
    first = await look()
    assert (first.jobs, first.clones, first.secrets) == (("x",), (), ())
    await cluster.delete(JOB, "x", namespace)
    second = await look()
    assert ([clone.name for clone in second.clones], second.secrets) == (["x"], ())
    await cluster.delete(CLAIM, "x", namespace)
    # Nothing here takes off what protects claims in use.
    await cluster.merge_patch(CLAIM, "x", namespace, {"metadata": {"finalizers": None}})
    assert await look() == Leftovers(secrets=("x",))


async def test_a_look_asks_only_for_what_may_be_there(
    cluster: Cluster, namespace: str, kube_server: EmbeddedApiServer
) -> None:
    """In the VM's namespace for what runs of that kind make there; for the bases of earlier runs when all else went."""
    async with SandboxCluster.connect(kube_server.kubeconfig, "tests") as sandbox:
        await install_definitions(sandbox, CSI)
    labels = owner_labels("VMBackup", UID, name="b", namespace="vms")
    await cluster.create(
        SECRET, {"metadata": {"name": "x", "namespace": namespace, "labels": labels}, **SPECS["Secret"]}
    )
    audit = kube_server.kubeconfig.with_name("audit.jsonl")

    async def lists(*, beside: bool) -> Counter[str]:
        before = len(audit.read_text().splitlines())
        await observe_leftovers(
            cluster, UID, operator_namespace=namespace, namespace="vms", beside=beside, claim_uids=["claim-uid"]
        )
        entries = map(json.loads, audit.read_text().splitlines()[before:])
        return Counter(entry["resource"] for entry in entries if entry["verb"] == "list")

    once = ("jobs", "pods", "persistentvolumeclaims", "volumesnapshots", "volumesnapshotcontents", "secrets")
    of_kubevirt = Counter((*once, "virtualmachinesnapshots"))
    assert await lists(beside=False) == of_kubevirt
    assert await lists(beside=True) == of_kubevirt + Counter(("persistentvolumeclaims", "volumesnapshots"))
    await cluster.delete(SECRET, "x", namespace)
    assert await lists(beside=False) == of_kubevirt + Counter(("volumesnapshotcontents",))
