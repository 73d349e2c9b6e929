"""Where a VM can run: what its template asks of nodes, and where the volumes that a restore leaves alone lie."""

from collections.abc import Mapping
from typing import Any

from safehold.api import VMRestore
from safehold.kube.client import Cluster, Manifest
from safehold.kube.restore.storage import observe_claim, observe_volume
from safehold.plan.restore.facts import VMFacts


def node_selector_of(vm: Manifest) -> dict[str, Any] | None:
    """`nodeSelector` and the required node affinity of a VM's template, as one selector; None without either."""
    spec = (vm["spec"].get("template") or {}).get("spec") or {}
    labels = [
        {"key": key, "operator": "In", "values": [value]} for key, value in (spec.get("nodeSelector") or {}).items()
    ]
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = affinity.get("nodeSelectorTerms") or ([{}] if labels else [])
    if not terms:
        return None
    return {
        "nodeSelectorTerms": [
            {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *labels]} for term in terms
        ]
    }


async def kept_volumes(cluster: Cluster, restore: VMRestore, vm: VMFacts) -> Mapping[str, Mapping[str, object] | None]:
    """By volume, the node selectors of what the VM has beside the restored volumes: it must reach all of them."""
    restored = {record.claim_name for record in restore.status.volumes}
    kept: dict[str, Mapping[str, object] | None] = {}
    for name, claim_name in vm.claims.items():
        if claim_name in restored:
            continue
        claim = await observe_claim(cluster, restore.metadata.namespace or "", claim_name)
        volume = await observe_volume(cluster, claim.volume if claim else None)
        kept[name] = volume.node_affinity if volume else None
    return kept
