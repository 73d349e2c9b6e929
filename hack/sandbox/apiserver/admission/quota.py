"""ResourceQuota: refuses what would use more than a namespace may."""

from decimal import Decimal

from sandbox.apiserver import statuses
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import JsonObject, name_of
from sandbox.apiserver.quotas import Usage, hard_limits, limits_text, quantity_text, usage_of, used_in
from sandbox.apiserver.registry import Registry
from sandbox.apiserver.schema.quantities import parse_quantity
from sandbox.apiserver.store import Store

_COMPUTE_PREFIXES = ("requests.", "limits.")
_COMPUTE_NAMES = frozenset({"cpu", "memory"})


class QuotaEnforcement:
    """Counts the namespace anew for each check: exact without bookkeeping, and only where a quota exists."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        """Check creates, and updates that ask for more."""
        request, item = operation.request, operation.item
        if item is None or request.subresource or not request.resource.namespaced:
            return
        quotas = self._store.list("", "resourcequotas", request.namespace)
        if not quotas:
            return
        asked = usage_of(request.resource, item)
        if operation.old is not None:
            before = usage_of(request.resource, operation.old)
            asked = {name: amount - before.get(name, Decimal(0)) for name, amount in asked.items()}
        for quota in quotas:
            self._check(operation, quota, asked)

    def _check(self, operation: Operation, quota: JsonObject, asked: Usage) -> None:
        hard = hard_limits(quota)
        self._require_named(operation, quota, hard, asked)
        wanted = {name: amount for name, amount in asked.items() if name in hard and amount > 0}
        if not wanted:
            return
        request = operation.request
        used = used_in(self._store, self._registry, request.namespace, wanted)
        over = [name for name, amount in wanted.items() if used[name] + amount > parse_quantity(hard[name])]
        if over:
            parts = (
                f"exceeded quota: {name_of(quota)}",
                f"requested: {limits_text({name: quantity_text(wanted[name]) for name in over})}",
                f"used: {limits_text({name: quantity_text(used[name]) for name in over})}",
                f"limited: {limits_text({name: hard[name] for name in over})}",
            )
            name = name_of(operation.item or {})
            raise statuses.forbidden(request.group, request.plural, name, ", ".join(parts))

    def _require_named(self, operation: Operation, quota: JsonObject, hard: dict[str, str], asked: Usage) -> None:
        """Where compute is limited, every pod must say what it needs."""
        request = operation.request
        if operation.old is not None or (request.group, request.plural) != ("", "pods"):
            return
        compute = {name for name in hard if name.startswith(_COMPUTE_PREFIXES) or name in _COMPUTE_NAMES}
        missing = sorted(name for name in compute if name not in asked and "storage" not in name)
        if missing:
            why = f"failed quota: {name_of(quota)}: must specify {','.join(missing)}"
            raise statuses.forbidden("", "pods", name_of(operation.item or {}), why)
