"""The Secret in which a restore keeps the objects that it replaces, in its own namespace: Secrets may be among them."""

import base64
import json
from collections.abc import Mapping

from safehold.api import VMRestore
from safehold.api.base import API_VERSION
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import SECRET, VM_RESTORE
from safehold.plan.names import RESTORED_BY
from safehold.plan.restore.facts import ObjectKey
from safehold.plan.restore.machine.manifest import key
from safehold.plan.restore.steps import SaveObjects
from safehold.plan.tenancy import refuse_object

_OBJECTS = "objects.json"


def saved_objects_manifest(step: SaveObjects, namespace: str) -> Manifest:
    """The Secret to create; it goes with the VMRestore."""
    owner = {"apiVersion": API_VERSION, "kind": VM_RESTORE.kind, "name": step.restore, "uid": step.restore_uid}
    content = json.dumps([dict(manifest) for manifest in step.manifests], separators=(",", ":")).encode()
    return {
        "metadata": {
            "name": step.secret,
            "namespace": namespace,
            "labels": {RESTORED_BY: step.restore_uid},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "data": {_OBJECTS: base64.b64encode(content).decode()},
    }


async def read_saved_objects(cluster: Cluster, restore: VMRestore) -> Mapping[ObjectKey, Manifest] | None:
    """What the Secret keeps; None where there is none, or one that is not this restore's.

    The namespace's users can write to the Secret, so only what the status names is believed, and only what a restore
    may create at all.
    """
    namespace, status = restore.metadata.namespace or "", restore.status
    name = status.replaced_objects_secret
    found = await cluster.get(SECRET, name, namespace) if name else None
    if found is None or (found["metadata"].get("labels") or {}).get(RESTORED_BY) != restore.metadata.uid:
        return None
    try:
        kept = json.loads(base64.b64decode(found["data"][_OBJECTS]))
        objects: list[Manifest] = [manifest for manifest in kept if isinstance(manifest, dict)]
        saved = {key(manifest): manifest for manifest in objects if refuse_object(manifest) is None}
    except (KeyError, TypeError, ValueError):  # somebody wrote something else there
        return {}
    return {
        name: {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
        for name, manifest in saved.items()
        if " ".join(name) in status.replaced_objects
    }
