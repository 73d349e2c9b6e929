"""Makes fields.json from the generated.proto and types.go files of k8s.io/api and k8s.io/apimachinery.

    python -m sandbox.apiserver.protobuf.generate API_DIRECTORY APIMACHINERY_DIRECTORY

Field numbers come from the former, and from the latter which fields JSON leaves out when they are empty. Which messages
JSON writes inline is decided by the `kubernetes` package's models.
"""

import json
import re
from pathlib import Path

import click
import kubernetes.client as models

_PACKAGES = (
    *("admissionregistration", "apps", "authentication", "authorization", "batch", "coordination", "core", "discovery"),
    *("events", "networking", "policy", "rbac", "scheduling", "storage"),
)
_SPECIAL = {
    "k8s.io.api.authentication.v1.ExtraValue": "Items",
    "k8s.io.api.authorization.v1.ExtraValue": "Items",
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": "Raw",
    "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "Raw",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
}
_SCALARS = frozenset({"string", "bytes", "int32", "int64", "bool", "double"})
_MESSAGE = re.compile(r"^message (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s+(optional|repeated|map<string, ([\w.]+)>) ?([\w.]*) (\w+) = (\d+);", re.MULTILINE)

_STRUCT = re.compile(r"^type (\w+) struct \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_OMITTED = re.compile(r'^\t\w+ +[^\s*]\S* +`.*?json:"(\w+),omitempty"', re.MULTILINE)
"""Fields of Go's structs that are no pointers, and so have no difference between empty and absent."""

Field = tuple[str, str, bool, bool]


@click.command()
@click.argument("api", type=click.Path(path_type=Path, exists=True))
@click.argument("apimachinery", type=click.Path(path_type=Path, exists=True))
def main(api: Path, apimachinery: Path) -> None:
    """Write fields.json beside this module."""
    table: dict[str, dict[str, Field]] = {}
    for package in _PACKAGES:
        table |= _messages(f"k8s.io.api.{package}.v1", api / package / "v1")
    table |= _messages("k8s.io.apimachinery.pkg.apis.meta.v1", apimachinery / "pkg/apis/meta/v1")
    lines = [f" {json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(table.items()) if fields]
    Path(__file__).with_name("fields.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _messages(package: str, directory: Path) -> dict[str, dict[str, Field]]:
    structs = _STRUCT.findall((directory / "types.go").read_text())
    omitted = {name: set(_OMITTED.findall(body)) for name, body in structs}
    found = {}
    for name, body in _MESSAGE.findall((directory / "generated.proto").read_text()):
        if f"{package}.{name}" not in _SPECIAL and not name.endswith("List"):
            found[_short(f"{package}.{name}")] = dict(_fields(package, name, body, omitted.get(name, set())))
    return found


def _fields(package: str, message: str, body: str, omitted: set[str]) -> list[tuple[str, Field]]:
    names = _json_names(package, message)
    result = []
    for cardinality, map_value, kind, name, number in _FIELD.findall(body):
        type_name = f"map {_type(package, map_value)}" if map_value else _type(package, kind)
        is_message = type_name not in _SCALARS and not map_value and cardinality == "optional"
        json_name = name[0].lower() + name[1:]
        inline = bool(names) and json_name not in names and is_message
        repeated = cardinality == "repeated"
        # encoding/json never takes a struct for empty.
        may_be_empty = repeated or bool(map_value) or type_name in _SCALARS
        omit = may_be_empty and json_name in omitted
        result.append((number, ("" if inline else json_name, type_name, repeated, omit)))
    return result


def _json_names(package: str, message: str) -> set[str]:
    """The JSON fields of a message's model; messages of one name in two groups have a prefix there."""
    group = package.split(".")[-2].capitalize()
    found = (getattr(models, prefix + message, None) for prefix in (f"{group}V1", "V1"))
    return next((set(model.attribute_map.values()) for model in found if model is not None), set())


def _type(package: str, name: str) -> str:
    if name in _SCALARS:
        return name
    full = name.removeprefix(".") if "." in name else f"{package}.{name}"
    return _SPECIAL.get(full) or _short(full)


def _short(full: str) -> str:
    return ".".join(full.split(".")[-3:])


if __name__ == "__main__":
    main()
