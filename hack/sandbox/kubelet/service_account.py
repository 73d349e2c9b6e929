"""What the ServiceAccount admission plugin adds to a pod: the volume with token, CA and namespace."""

from __future__ import annotations

import copy

from sandbox.cluster.client import Object
from sandbox.kubelet.volumes import TOKEN_FOLDER

_TOKEN_SECONDS = 3607  # what the plugin writes: an hour, and a mark of who asked


def with_service_account_token(pod: Object) -> Object:
    """The pod with the token mounted in every container that has none yet, unless the pod forbids it."""
    spec = pod["spec"]
    if spec.get("automountServiceAccountToken") is False:
        return pod
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    if any(_has_token(container) for container in containers):
        return pod
    changed = copy.deepcopy(pod)
    changed["spec"].setdefault("volumes", []).append({"name": "kube-api-access", "projected": _projection()})
    mount = {"name": "kube-api-access", "mountPath": TOKEN_FOLDER, "readOnly": True}
    for container in [*(changed["spec"].get("initContainers") or []), *changed["spec"]["containers"]]:
        container.setdefault("volumeMounts", []).append(dict(mount))
    return changed


def _has_token(container: Object) -> bool:
    return any(mount["mountPath"].rstrip("/") == TOKEN_FOLDER for mount in container.get("volumeMounts") or [])


def _projection() -> Object:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
    }
