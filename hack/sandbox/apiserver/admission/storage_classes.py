"""Claims without a class get the default class."""

from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import JsonObject, name_of
from sandbox.apiserver.store import Store

_DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"


class DefaultStorageClass:
    """The real server's plugin of that name: of several default classes the newest wins."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, operation: Operation) -> None:
        """Set spec.storageClassName on new claims that leave it out."""
        item = operation.item
        if item is None or not operation.concerns("", "persistentvolumeclaims", "CREATE"):
            return
        if item["spec"].get("storageClassName") is not None:
            return
        defaults = [each for each in self._store.list("storage.k8s.io", "storageclasses") if _is_default(each)]
        if defaults:
            newest = max(defaults, key=lambda each: (each["metadata"]["creationTimestamp"], name_of(each)))
            item["spec"]["storageClassName"] = name_of(newest)


def _is_default(storage_class: JsonObject) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT_ANNOTATION) == "true"
