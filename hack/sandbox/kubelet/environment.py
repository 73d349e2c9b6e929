"""A container's environment variables and arguments: valueFrom, envFrom, $(NAME) references, the downward API."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import CONFIG_MAP, SECRET, Kind
from sandbox.cluster.quantity import parse_quantity

Lookup = Callable[[Kind, str], Awaitable[Object | None]]
"""Reads an object of the pod's namespace."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^()]+)\))")
_KEYED_FIELD = re.compile(r"metadata\.(annotations|labels)\['(.+)'\]")


class ConfigurationError(Exception):
    """Something the pod names is missing or cannot be read; it is looked for again (CreateContainerConfigError)."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Replaces $(NAME) by the variable; $$ is a dollar sign, an unknown name stays as it is written."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[0]) if match[1] else "$"

    return _REFERENCE.sub(value, text)


def data_of(kind: Kind, obj: Object) -> dict[str, bytes]:
    """The decoded entries of a Secret or ConfigMap."""
    if kind is SECRET:
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {key: value.encode() for key, value in (obj.get("data") or {}).items()} | binary


def field_of(pod: Object, path: str) -> str:
    """A field of the pod, as the downward API names it."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if match := _KEYED_FIELD.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.annotations", "metadata.labels"):
        entries = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": status.get("podIP", ""),
    }
    if path not in known:
        raise ConfigurationError(f"fieldRef {path} is not supported")
    return str(known[path])


def resource_of(container: Object, reference: Object) -> str:
    """A limit or request of a container in units of the divisor; an unset limit is 0 here, not the node's size."""
    section, _, name = reference["resource"].partition(".")
    value = ((container.get("resources") or {}).get(section) or {}).get(name, "0")
    divisor = parse_quantity(reference.get("divisor") or "1") or 1
    return str(-(-parse_quantity(value) // divisor))


async def environment_of(pod: Object, container: Object, lookup: Lookup) -> dict[str, str]:
    """All variables that the container's specification defines. Raises ConfigurationError."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        kind = SECRET if "secretRef" in source else CONFIG_MAP
        entries = await _entries(lookup, kind, source.get("secretRef") or source["configMapRef"])
        prefix = source.get("prefix", "")
        variables |= {prefix + key: value.decode() for key, value in entries.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = await _value_from(pod, container, variable["valueFrom"], lookup)
        else:
            value = expand(variable.get("value", ""), variables)
        if value is not None:
            variables[variable["name"]] = value
    return variables


async def _value_from(pod: Object, container: Object, source: Object, lookup: Lookup) -> str | None:
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_of(container, source["resourceFieldRef"])
    kind = SECRET if "secretKeyRef" in source else CONFIG_MAP
    reference = source.get("secretKeyRef") or source["configMapKeyRef"]
    entries = await _entries(lookup, kind, reference)
    if reference["key"] in entries:
        return entries[reference["key"]].decode()
    if reference.get("optional"):
        return None
    where = f"{kind.kind} {pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigurationError(f"couldn't find key {reference['key']} in {where}")


async def _entries(lookup: Lookup, kind: Kind, reference: Object) -> dict[str, bytes]:
    obj = await lookup(kind, reference["name"])
    if obj is None and not reference.get("optional"):
        raise ConfigurationError(f'{kind.kind.lower()} "{reference["name"]}" not found')
    return data_of(kind, obj) if obj else {}
