"""How KubeVirt's kinds are defined: spec and status, in the category `all`."""

from __future__ import annotations

from sandbox.cluster import definitions
from sandbox.cluster.client import Object, Objects
from sandbox.cluster.definitions import STRING, object_of
from sandbox.cluster.kinds import Kind

AGE = ("Age", "date", ".metadata.creationTimestamp")


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
    properties = {"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}, "spec": spec}
    if status is not None:
        properties["status"] = status
    schema = object_of(properties, ["spec"])
    return definitions.definition(
        kind, short_names, schema, printed, status=subresource, categories=["all"], older=older
    )
