"""CustomResourceDefinitions from a kind, its schemas and its columns."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.kinds import Kind
from sandbox.kubevirt.api.schemas import STRING, object_of

AGE = ("Age", "date", ".metadata.creationTimestamp")


def columns(*found: tuple[str, str, str]) -> Objects:
    """Printer columns of (name, type, path)."""
    return [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in found]


def definition(
    kind: Kind,
    short_names: list[str],
    spec: Object,
    status: Object | None,
    printed: Objects,
    *,
    subresource: bool = True,
    older: str | None = None,
) -> Object:
    """A definition that stores the kind's version; `older` is served too, with the same schema, as deprecated."""
    schema = object_of({"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}}, ["spec"])
    schema["properties"] |= {"spec": spec, **({"status": status} if status else {})}
    version: Object = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": printed,
    }
    if subresource:
        version["subresources"] = {"status": {}}
    versions = [version]
    if older:
        versions.append({**version, "name": older, "storage": False, "deprecated": True})
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": short_names,
                "categories": ["all"],
            },
            "versions": versions,
        },
    }
