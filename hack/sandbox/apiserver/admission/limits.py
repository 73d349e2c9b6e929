"""LimitRange: defaults for containers that say nothing, and bounds for containers and claims."""

from collections.abc import Iterator

from sandbox.apiserver import statuses
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import JsonObject, name_of
from sandbox.apiserver.schema.quantities import parse_quantity
from sandbox.apiserver.store import Store


class LimitRanger:
    """The real server's plugin of that name, for limits of type Container and PersistentVolumeClaim."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, operation: Operation) -> None:
        """Fill in what new containers leave out, and refuse what is beyond the limits."""
        item, request = operation.item, operation.request
        if item is None:
            return
        if operation.concerns("", "pods", "CREATE"):
            for limit in self._limits(request.namespace, "Container"):
                for container in item["spec"].get("containers") or ():
                    _fill_in(container, limit)
                    self._check(operation, container.get("resources") or {}, limit, "Container")
        elif operation.concerns("", "persistentvolumeclaims", "CREATE", "UPDATE"):
            for limit in self._limits(request.namespace, "PersistentVolumeClaim"):
                self._check(operation, item["spec"].get("resources") or {}, limit, "PersistentVolumeClaim")

    def _limits(self, namespace: str, kind: str) -> Iterator[JsonObject]:
        for limit_range in self._store.list("", "limitranges", namespace):
            for limit in limit_range["spec"].get("limits") or ():
                if limit.get("type") == kind:
                    yield limit

    def _check(self, operation: Operation, resources: JsonObject, limit: JsonObject, kind: str) -> None:
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        faults = [
            f"minimum {name} usage per {kind} is {bound}, but request is {requests[name]}"
            for name, bound in (limit.get("min") or {}).items()
            if name in requests and parse_quantity(str(requests[name])) < parse_quantity(str(bound))
        ]
        # Claims have requests only, so their maximum is compared with the request.
        asked, word = (requests, "request") if kind == "PersistentVolumeClaim" else (limits, "limit")
        faults += [
            f"maximum {name} usage per {kind} is {bound}, but {word} is {asked[name]}"
            for name, bound in (limit.get("max") or {}).items()
            if name in asked and parse_quantity(str(asked[name])) > parse_quantity(str(bound))
        ]
        if faults:
            why = faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"
            request = operation.request
            raise statuses.forbidden(request.group, request.plural, name_of(operation.item or {}), why)


def _fill_in(container: JsonObject, limit: JsonObject) -> None:
    resources = container.setdefault("resources", {})
    limits = {**(limit.get("default") or {}), **(resources.get("limits") or {})}
    requests = {**limits, **(limit.get("defaultRequest") or {}), **(resources.get("requests") or {})}
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests
