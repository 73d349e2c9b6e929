"""The check of a CustomResourceDefinition when it is written: its names, its structure, its defaults, its rules."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sandbox.apiserver.schema.defaults import check_defaults
from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.rulecheck import check_rules
from sandbox.apiserver.schema.structural import check_structure
from sandbox.apiserver.schema.structure import read_node

JsonObject = Mapping[str, Any]
_SCOPES: Final = ("Cluster", "Namespaced")


def check_definition(crd: JsonObject) -> list[FieldError]:
    """Every reason for which kube-apiserver would refuse the CRD, none if it may be stored."""
    spec = crd.get("spec") or {}
    errors = [*_check_names(crd, spec), *_check_versions(spec)]
    for path, schema in _schemas(spec):
        found = list(check_structure(schema, path))
        if not found:
            # Defaults and rules have a meaning only in a structural schema.
            root = read_node(schema)
            found = [*check_defaults(root, path), *check_rules(root, path)]
        errors += found
    return errors


def _check_names(crd: JsonObject, spec: JsonObject) -> Iterator[FieldError]:
    names = spec.get("names") or {}
    for name in ("plural", "kind"):
        if not names.get(name):
            yield FieldError(f"spec.names.{name}", ErrorKind.REQUIRED)
    if not spec.get("group"):
        yield FieldError("spec.group", ErrorKind.REQUIRED)
    name = crd.get("metadata", {}).get("name", "")
    if name != f"{names.get('plural')}.{spec.get('group')}":
        yield FieldError("metadata.name", ErrorKind.INVALID, name, 'must be spec.names.plural+"."+spec.group')
    scope = spec.get("scope")
    if not scope:
        yield FieldError("spec.scope", ErrorKind.REQUIRED)
    elif scope not in _SCOPES:
        supported = ", ".join(f'"{choice}"' for choice in _SCOPES)
        yield FieldError("spec.scope", ErrorKind.NOT_SUPPORTED, scope, f"supported values: {supported}")


def _check_versions(spec: JsonObject) -> Iterator[FieldError]:
    versions = spec.get("versions") or []
    names = [version.get("name", "") for version in versions]
    if len([version for version in versions if version.get("storage")]) != 1:
        detail = "must have exactly one version marked as storage version"
        yield FieldError("spec.versions", ErrorKind.INVALID, names, detail)
    if len(set(names)) != len(names):
        yield FieldError("spec.versions", ErrorKind.INVALID, names, "must contain unique version names")
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            yield FieldError(path, ErrorKind.REQUIRED, detail="schemas are required")


def _schemas(spec: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """The schemas with their paths; where all versions share one, the server names it once, as spec.validation."""
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in spec.get("versions") or []]
    if schemas and all(schema == schemas[0] for schema in schemas):
        if schemas[0]:
            yield "spec.validation.openAPIV3Schema", schemas[0]
        return
    for index, schema in enumerate(schemas):
        if schema:
            yield child(child(entry("spec.versions", index), "schema"), "openAPIV3Schema"), schema
