"""A VM's manifests between the capture and the start of the worker: a Secret of the operator's, never a status."""

import base64
import json

from safehold.errors import NotFoundError
from safehold.kube.backup.dependencies import read_machine
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import SECRET

_KEY = "machine.json"
_API_LIMIT_BYTES = 1_000_000
"""A Secret of more would be refused; what is too large is kept empty, with its size, so that the plan can say so."""
_SIZE = "safehold.dev/machine-bytes"


async def keep_machine(
    cluster: Cluster, *, namespace: str, vm: str, secret: str, labels: dict[str, str], operator_namespace: str
) -> None:
    """Read VM and dependencies now, and keep them; what an earlier try kept is replaced."""
    content = json.dumps(await read_machine(cluster, namespace, vm), separators=(",", ":")).encode()
    kept = content if len(content) <= _API_LIMIT_BYTES else b"[]"
    manifest: Manifest = {
        "metadata": {
            "name": secret,
            "namespace": operator_namespace,
            "labels": labels,
            "annotations": {_SIZE: str(len(content))},
        },
        "type": "Opaque",
        "data": {_KEY: base64.b64encode(kept).decode()},
    }
    existing = await cluster.create_if_absent(SECRET, manifest)
    if existing.get("data") != manifest["data"]:
        change = {"metadata": {"annotations": manifest["metadata"]["annotations"]}, "data": manifest["data"]}
        await cluster.merge_patch(SECRET, secret, operator_namespace, change)


async def kept_machine_bytes(cluster: Cluster, operator_namespace: str, secret: str) -> int | None:
    """Size of the kept manifests; None when nothing is kept."""
    found = await cluster.get(SECRET, secret, operator_namespace)
    return None if found is None else int((found["metadata"].get("annotations") or {}).get(_SIZE) or 0)


async def kept_machine(cluster: Cluster, operator_namespace: str, secret: str) -> list[Manifest]:
    """The kept manifests."""
    found = await cluster.get(SECRET, secret, operator_namespace)
    if found is None:
        raise NotFoundError(f"the Secret {operator_namespace}/{secret} with the VM's manifests was deleted")
    manifests: list[Manifest] = json.loads(base64.b64decode(found["data"][_KEY]))
    return manifests
