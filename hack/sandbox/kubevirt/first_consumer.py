"""Claims that wait for their first consumer, for the pods that KubeVirt places itself."""

from __future__ import annotations

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.names import SELECTED_NODE
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.names import NODE


async def select_node(cluster: Cluster, caches: Caches, claim: Object) -> None:
    """Tells the provisioner the node of the sandbox's guests, as the scheduler does; for other claims nothing."""
    storage_class = caches.storage_classes.get(claim["spec"].get("storageClassName") or "") or {}
    if storage_class.get("volumeBindingMode") != "WaitForFirstConsumer" or SELECTED_NODE in annotations_of(claim):
        return
    body = {"metadata": {"annotations": {SELECTED_NODE: NODE}}}
    name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
    await cluster.patch(PERSISTENT_VOLUME_CLAIM, name, body, namespace)
