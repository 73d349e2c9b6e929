"""Where a VM can run, as its template says, and where the volumes lie that a restore leaves alone."""

from typing import Any

import pytest

from safehold.api import VMRestore
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLAIM, VOLUME
from safehold.kube.restore.placement import kept_volumes, node_selector_of
from safehold.plan.restore.facts import VMFacts

ZONE_A: dict[str, Any] = {"key": "zone", "operator": "In", "values": ["a"]}
SSD: dict[str, Any] = {"key": "disk", "operator": "In", "values": ["ssd"]}
NAMED: dict[str, Any] = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    """A required node affinity."""
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


@pytest.mark.parametrize(
    ("spec", "terms"),
    [
        ({}, None),
        ({"affinity": {"podAffinity": {}}}, None),
        ({"nodeSelector": {"disk": "ssd"}}, [{"matchExpressions": [SSD]}]),
        ({"affinity": required({"matchExpressions": [ZONE_A]})}, [{"matchExpressions": [ZONE_A]}]),
        (
            {
                "nodeSelector": {"disk": "ssd"},
                "affinity": required({"matchExpressions": [ZONE_A]}, {"matchFields": [NAMED]}),
            },
            [{"matchExpressions": [ZONE_A, SSD]}, {"matchFields": [NAMED], "matchExpressions": [SSD]}],
        ),
    ],
)
def test_selector_and_affinity_are_one(spec: dict[str, Any], terms: list[dict[str, Any]] | None) -> None:
    """A node must fulfil the node selector and one term of the affinity."""
    found = node_selector_of({"spec": {"template": {"spec": spec}}})
    assert found == (None if terms is None else {"nodeSelectorTerms": terms})


async def test_only_the_volumes_that_stay_count(cluster: Cluster, namespace: str) -> None:
    """A volume that is replaced may lie elsewhere afterwards; the others may not."""
    affinity = {"nodeSelectorTerms": [{"matchExpressions": [ZONE_A]}]}
    for name in ("root", "data"):
        volume = f"{namespace}-{name}"
        size = {"storage": "1Gi"}
        source = {"driver": "csi.example", "volumeHandle": volume}
        spec = {"capacity": size, "accessModes": ["ReadWriteOnce"], "csi": source}
        await cluster.create(
            VOLUME, {"metadata": {"name": volume}, "spec": {**spec, "nodeAffinity": {"required": affinity}}}
        )
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}, "volumeName": volume}
        await cluster.create(CLAIM, {"metadata": {"name": name, "namespace": namespace}, "spec": claim})
    record = {"name": "root", "mode": "Filesystem", "capacityBytes": 1, "primeClaim": "prime", "claimName": "root"}
    restore = VMRestore.model_validate(
        {
            "metadata": {"name": "back", "namespace": namespace, "uid": "restore-uid"},
            "spec": {"source": {"backup": "b"}, "target": {"mode": "InPlace"}},
            "status": {"volumes": [record]},
        }
    )
    claims = {name: name for name in ("root", "data", "gone")}
    vm = VMFacts(uid="vm", run_strategy="Halted", is_active=False, is_running=False, claims=claims)
    assert await kept_volumes(cluster, restore, vm) == {"data": affinity, "gone": None}
