"""What a look at the snapshots around a restore finds: also what an interrupted or a changed decision left."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.plan.restore.objects import snapshot_handle

from safehold.api import VMRestore
from safehold.kube.client import Cluster
from safehold.kube.kinds import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.kube.restore.snapshots import carry_out_snapshot_step, observe_ways
from safehold.plan.names import pair_name
from safehold.plan.restore.facts import Ways
from safehold.plan.restore.steps import MakePair, RemovePair
from sandbox.apiserver import EmbeddedApiServer
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS


@pytest.fixture(autouse=True)
async def _snapshots_are_served(kube_server: EmbeddedApiServer) -> None:
    async with SandboxCluster.connect(kube_server.kubeconfig, "tests") as cluster:
        await install_definitions(cluster, DEFINITIONS)


def restore(uid: str, path: str | None, phase: str = "Taken") -> VMRestore:
    """A restore in place with a safety snapshot, whose volume comes to its content by this way."""
    volume = {
        "name": "root",
        "mode": "Filesystem",
        "accessModes": ["ReadWriteOnce"],
        "capacityBytes": 1 << 30,
        "primeClaim": "prime",
        "claimName": "orders-root",
        **({"path": path} if path else {}),
    }
    return VMRestore.model_validate(
        {
            "metadata": {"name": "back", "namespace": "shop", "uid": uid},
            "spec": {"source": {"backup": "b"}, "target": {"mode": "InPlace"}},
            "status": {"volumes": [volume], "safetySnapshot": {"name": "before", "phase": phase}},
        }
    )


async def look(cluster: Cluster, uid: str, path: str, namespace: str) -> Ways:
    """What is known of the volume's ways."""
    ways = await observe_ways(cluster, restore(uid, path), None, operator_namespace=namespace)
    return ways["root"]


@pytest.mark.parametrize("path", ["Delta", "Full"])
async def test_a_pair_is_found_until_it_is_removed(cluster: Cluster, namespace: str, path: str) -> None:
    """Also where the volume is fetched after all: its pair was made before that was decided, and has to go."""
    uid = f"uid-of-{namespace}"
    step: Any = MakePair(
        snapshot_handle("root").model_copy(update={"pair_name": pair_name(uid, "root")}), {"app": "safehold"}
    )
    assert not (await look(cluster, uid, path, namespace)).has_pair
    await carry_out_snapshot_step(cluster, step, namespace="shop", operator_namespace=namespace)
    made = await look(cluster, uid, path, namespace)
    assert made.has_pair
    assert made.pair_since is not None
    assert abs((datetime.now(UTC) - made.pair_since).total_seconds()) < 60
    await carry_out_snapshot_step(
        cluster, RemovePair(pair_name(uid, "root")), namespace="shop", operator_namespace=namespace
    )
    assert not (await look(cluster, uid, path, namespace)).has_pair


async def test_half_a_pair_is_known_as_one(cluster: Cluster, namespace: str) -> None:
    """Whichever half is there: it has to go in the end, and is nothing to wait for."""
    uid = f"uid-of-{namespace}"
    name = pair_name(uid, "root")
    step = MakePair(snapshot_handle("root").model_copy(update={"pair_name": name}), {"app": "safehold"})
    await carry_out_snapshot_step(cluster, step, namespace="shop", operator_namespace=namespace)
    await cluster.delete(VOLUME_SNAPSHOT, name, namespace)
    content = await look(cluster, uid, "Delta", namespace)
    await carry_out_snapshot_step(cluster, step, namespace="shop", operator_namespace=namespace)
    await cluster.delete(VOLUME_SNAPSHOT_CONTENT, name)
    snapshot = await look(cluster, uid, "Delta", namespace)
    assert [(half.has_pair, half.pair_since) for half in (content, snapshot)] == [(True, None), (True, None)]


async def test_where_no_snapshot_was_taken_none_is_looked_for(cluster: Cluster, namespace: str) -> None:
    """The cluster may not even serve their kinds."""
    wanted = restore(f"uid-of-{namespace}", "Full", "Missing")
    assert await observe_ways(cluster, wanted, None, operator_namespace=namespace) == {}
