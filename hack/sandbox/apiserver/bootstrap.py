"""What every cluster has from the start: namespaces, default roles, and per namespace a service account and the CA."""

from sandbox.apiserver.admission.service_accounts import ROOT_CA
from sandbox.apiserver.auth.defaults import default_objects
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.objects import JsonObject, is_deleting, name_of, split_api_version
from sandbox.apiserver.store import StoreEvent

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITY_CLASSES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}


async def bootstrap(plane: ControlPlane) -> None:
    """Create what is missing of the standard objects."""
    for name in _NAMESPACES:
        await _ensure(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for role in default_objects():
        await _ensure(plane, role)
    for name, value in _PRIORITY_CLASSES.items():
        priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        await _ensure(plane, {**priority, "value": value})


async def _ensure(plane: ControlPlane, item: JsonObject, namespace: str = "") -> None:
    group, _ = split_api_version(item["apiVersion"])
    resource = plane.registry.by_kind(group, item["kind"])
    if resource is None:
        raise LookupError(f"no built-in kind {item['kind']} in group {group!r}")
    request = plane.request_for(resource, namespace, name_of(item), manager="kube-apiserver")
    if plane.store.entry(request.key()) is None:
        await plane.writer.create(request, item)


class NamespaceFurnisher:
    """Keeps the default service account and the root CA's ConfigMap in every namespace, also after deletes."""

    def __init__(self, plane: ControlPlane, authority: str) -> None:
        self._plane = plane
        self._authority = authority
        self._wanted: set[str] = {name_of(item) for item in plane.store.list("", "namespaces")}
        for plural in ("namespaces", "serviceaccounts", "configmaps"):
            plane.store.subscribe("", plural, self._changed)

    def _changed(self, event: StoreEvent) -> None:
        key = event.entry.key
        if key.plural == "namespaces" and event.type == "ADDED":
            self._wanted.add(key.name)
        elif event.type == "DELETED" and key.name in ("default", ROOT_CA):
            self._wanted.add(key.namespace)

    async def run(self) -> float | None:
        """Create what is missing in the namespaces that changed."""
        while self._wanted:
            name = self._wanted.pop()
            namespace = self._plane.store.get("", "namespaces", None, name)
            if namespace is None or is_deleting(namespace):
                continue
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            authority = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA}}
            await _ensure(self._plane, account, name)
            await _ensure(self._plane, {**authority, "data": {"ca.crt": self._authority}}, name)
        return None
