"""What the Deployment controller decides, as plain functions over a Deployment and its ReplicaSets."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from sandbox.cluster.client import Object
from sandbox.cluster.metadata import controller_reference
from sandbox.kubelet.pod_status import merged_conditions

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Scale:
    """A ReplicaSet is to have so many pods."""

    replica_set: Object
    replicas: int


def template_hash(deployment: Object) -> str:
    """The label that tells the ReplicaSets of a Deployment apart."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def wanted_replicas(obj: Object) -> int:
    """How many pods the specification asks for."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def new_replica_set(deployment: Object, revision: int) -> Object:
    """The ReplicaSet of the present template, still without pods."""
    mark = {HASH_LABEL: template_hash(deployment)}
    template = copy.deepcopy(deployment["spec"]["template"])
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **mark}
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **mark}
    return {
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{mark[HASH_LABEL]}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": metadata["labels"],
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }


def plan_scales(deployment: Object, new: Object, old: list[Object]) -> list[Scale]:
    """The next scalings: Recreate ends the old pods first, RollingUpdate when the new ones are available."""
    wanted = wanted_replicas(deployment)
    recreate = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
    old_gone = all(not (item.get("status") or {}).get("replicas") and not wanted_replicas(item) for item in old)
    available = int((new.get("status") or {}).get("availableReplicas") or 0)
    scales: list[Scale] = []
    if (not recreate or old_gone) and wanted_replicas(new) != wanted:
        scales.append(Scale(new, wanted))
    if recreate or available >= wanted:
        scales += [Scale(item, 0) for item in old if wanted_replicas(item)]
    return scales


def deployment_status(deployment: Object, new: Object, old: list[Object], now: datetime) -> Object:
    """The Deployment's status from those of its ReplicaSets."""
    before = deployment.get("status") or {}
    wanted, everything = wanted_replicas(deployment), [new, *old]
    replicas, ready, available = (_sum(everything, name) for name in ("replicas", "readyReplicas", "availableReplicas"))
    updated = _sum([new], "replicas")
    complete = updated == wanted == replicas and _sum([new], "availableReplicas") == wanted
    name = new["metadata"]["name"]
    conditions = [
        {
            "type": "Available",
            "status": "True" if available >= wanted else "False",
            "reason": "MinimumReplicasAvailable" if available >= wanted else "MinimumReplicasUnavailable",
            "message": f"Deployment {'has' if available >= wanted else 'does not have'} minimum availability.",
        },
        {
            "type": "Progressing",
            "status": "True",
            "reason": "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",
            "message": f'ReplicaSet "{name}" {"has successfully progressed" if complete else "is progressing"}.',
        },
    ]
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(wanted - available, 0),
        "conditions": merged_conditions(before.get("conditions") or [], conditions, now),
    }


def _sum(replica_sets: list[Object], field: str) -> int:
    return sum(int((item.get("status") or {}).get(field) or 0) for item in replica_sets)
