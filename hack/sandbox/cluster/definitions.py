"""CustomResourceDefinitions: how a part writes the kinds that it brings, and installs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.kinds import CRD, Kind
from sandbox.cluster.waiting import wait_until

STRING: Object = {"type": "string"}
BOOLEAN: Object = {"type": "boolean"}
INTEGER: Object = {"type": "integer", "format": "int64"}
TIME: Object = {"type": "string", "format": "date-time"}


def object_of(properties: Object, required: Sequence[str] = (), more: Object | None = None) -> Object:
    """An object schema; `more` are further keywords of it."""
    schema = {"type": "object", "properties": properties, **(more or {})}
    return schema | {"required": list(required)} if required else schema


def list_of(items: Object) -> Object:
    """A list schema."""
    return {"type": "array", "items": items}


def columns(*shown: tuple[str, str, str]) -> Objects:
    """Printer columns, each a name, a type and a JSON path."""
    return [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in shown]


def definition(
    kind: Kind,
    short_names: list[str],
    schema: Object,
    shown: Objects,
    *,
    status: bool,
    categories: Sequence[str] = (),
    older: str | None = None,
) -> Object:
    """A definition that stores the kind's version; `status` makes the status a subresource.

    The version `older` is served too, with the same schema, as deprecated.
    """
    metadata: Object = {"name": f"{kind.plural}.{kind.group}"}
    if kind.group.endswith(".k8s.io"):
        # API servers ask for this in the groups of Kubernetes itself.
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved"}
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": shown,
    }
    if status:
        version["subresources"] = {"status": {}}
    versions = [version]
    if older:
        versions.append({**version, "name": older, "storage": False, "deprecated": True})
    names: Object = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "shortNames": short_names,
    }
    if categories:
        names["categories"] = list(categories)
    scope = "Namespaced" if kind.namespaced else "Cluster"
    return {
        "metadata": metadata,
        "spec": {"group": kind.group, "scope": scope, "names": names, "versions": versions},
    }


async def install_definitions(cluster: Cluster, definitions: Iterable[Object]) -> None:
    """Creates or updates the definitions and waits until they are served."""
    for crd in definitions:
        await cluster.apply(CRD, crd)
    for crd in definitions:
        await wait_until(cluster, CRD, crd["metadata"]["name"], reached=_established)


def _established(crd: Object | None) -> bool:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
