"""Pods run as a service account that exists, and get its token mounted unless somebody says no."""

from sandbox.apiserver import statuses
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.names import generated_name
from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.store import Store

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder, no password
ROOT_CA = "kube-root-ca.crt"
_TOKEN_SECONDS = 3607


class ServiceAccountTokens:
    """The real server's ServiceAccount plugin."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, operation: Operation) -> None:
        """Check the account of a new pod and mount its token."""
        pod = operation.item
        if pod is None or not operation.concerns("", "pods", "CREATE"):
            return
        spec, namespace = pod["spec"], operation.request.namespace
        account = self._store.get("", "serviceaccounts", namespace, spec["serviceAccountName"])
        if account is None:
            name = spec["serviceAccountName"]
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise statuses.forbidden("", "pods", pod["metadata"].get("name", ""), why)
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken")
        if wanted is not False:
            _mount_token(spec)


def _mount_token(spec: JsonObject) -> None:
    name = generated_name("kube-api-access-")
    mounted = False
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == TOKEN_FOLDER for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_FOLDER})
            mounted = True
    if mounted:
        spec.setdefault("volumes", []).append({"name": name, "projected": _projection()})


def _projection() -> JsonObject:
    namespace_field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace_field}]}},
        ],
    }
