"""Nothing is created in a namespace that does not exist, or that ends."""

from sandbox.apiserver import statuses
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import is_deleting, name_of
from sandbox.apiserver.store import Store

_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle:
    """The real server's plugin of that name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, operation: Operation) -> None:
        """Check the namespace of a create, and keep the namespaces that the cluster cannot be without."""
        request = operation.request
        if operation.concerns("", "namespaces", "DELETE") and request.name in _IMMORTAL:
            raise statuses.forbidden("", "namespaces", request.name, "this namespace may not be deleted")
        if operation.verb == "CREATE" and request.resource.namespaced and operation.item is not None:
            refuse_closed(self._store, operation, request.namespace)


def refuse_closed(store: Store, operation: Operation, namespace: str) -> None:
    """404 if the namespace does not exist, 403 NamespaceTerminating if it ends."""
    found = store.get("", "namespaces", None, namespace)
    if found is None:
        raise statuses.not_found("", "namespaces", namespace)
    if is_deleting(found):
        request = operation.request
        name = name_of(operation.item or {}) or request.name
        raise terminating(request.group, request.plural, name, namespace)


def terminating(group: str, plural: str, name: str, namespace: str) -> statuses.ApiError:
    """The refusal that transcripts of the real server show for every create in a namespace that ends."""
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return statuses.forbidden(group, plural, name, why, [cause])
