"""What objects count against a ResourceQuota."""

from collections.abc import Iterable
from decimal import Decimal

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Registry, Resource
from sandbox.apiserver.rules.paths import value_at
from sandbox.apiserver.schema.quantities import parse_quantity
from sandbox.apiserver.statuses import qualified
from sandbox.apiserver.store import Store

_OLD_COUNTS = frozenset({"configmaps", "persistentvolumeclaims", "pods", "resourcequotas", "secrets", "services"})
"""Core resources that are counted under their bare name as well as under count/NAME."""
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")

Usage = dict[str, Decimal]


def usage_of(resource: Resource, item: JsonObject) -> Usage:
    """What one object uses, by the names under which quotas limit it."""
    counted = f"count/{qualified(resource.group, resource.plural)}"
    usage: Usage = {counted: Decimal(1)}
    if not resource.group and resource.plural in _OLD_COUNTS:
        usage[resource.plural] = Decimal(1)
    if (resource.group, resource.plural) == ("", "persistentvolumeclaims"):
        usage |= _claim_usage(item)
    if (resource.group, resource.plural) == ("", "pods"):
        if value_at(item, "status.phase") in ("Succeeded", "Failed"):
            return {counted: Decimal(1)}
        usage |= _pod_usage(item)
    return usage


def _claim_usage(item: JsonObject) -> Usage:
    size = parse_quantity(str(value_at(item, "spec.resources.requests.storage") or "0"))
    usage = {"requests.storage": size}
    storage_class = value_at(item, "spec.storageClassName")
    if storage_class:
        usage[f"{storage_class}{_CLASS_SUFFIX}requests.storage"] = size
        usage[f"{storage_class}{_CLASS_SUFFIX}persistentvolumeclaims"] = Decimal(1)
    return usage


def _pod_usage(item: JsonObject) -> Usage:
    usage: Usage = {}
    for container in item["spec"].get("containers") or ():
        for kind in ("requests", "limits"):
            for name, amount in (value_at(container, f"resources.{kind}") or {}).items():
                key = f"{kind}.{name}"
                usage[key] = usage.get(key, Decimal(0)) + parse_quantity(str(amount))
    for name in _COMPUTE:
        if f"requests.{name}" in usage:
            usage[name] = usage[f"requests.{name}"]
    return usage


def used_in(store: Store, registry: Registry, namespace: str, names: Iterable[str]) -> Usage:
    """What all objects of a namespace use together, of the named limits."""
    total = dict.fromkeys(names, Decimal(0))
    for resource in registry:
        if not resource.namespaced or resource.stored_as or not _concerns(resource, total):
            continue
        for item in store.list(*resource.store_key, namespace):
            for name, amount in usage_of(resource, item).items():
                if name in total:
                    total[name] += amount
    return total


def _concerns(resource: Resource, names: Iterable[str]) -> bool:
    if resource.plural in ("pods", "persistentvolumeclaims"):
        return True
    counted = {f"count/{qualified(resource.group, resource.plural)}"}
    counted |= {resource.plural} if not resource.group else set()
    return not counted.isdisjoint(names)


_UNITS = (("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10))


def quantity_text(number: Decimal) -> str:
    """The shortest exact quantity: 64Mi, 500m, 3."""
    if number != number.to_integral_value():
        return f"{int(number * 1000)}m"
    whole = int(number)
    for suffix, shift in _UNITS:
        if whole and whole % (1 << shift) == 0:
            return f"{whole >> shift}{suffix}"
    return str(whole)


def limits_text(limits: dict[str, str]) -> str:
    """`name=amount,…`, as refusals print them."""
    return ",".join(f"{name}={amount}" for name, amount in sorted(limits.items()))


def hard_limits(quota: JsonObject) -> dict[str, str]:
    """spec.hard of a quota."""
    return dict((quota.get("spec") or {}).get("hard") or {})
