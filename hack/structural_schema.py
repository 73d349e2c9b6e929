"""A pydantic model's JSON schema as the structural OpenAPI v3 schema that CustomResourceDefinitions are made of.

Structural means: no references, one type per node, nothing but value validations beside it.
"""

import re
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_COPIED = [
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
]
_NOT_STRUCTURAL = frozenset({"title", "description", "default", "const", "properties", "items", "additionalProperties"})


def structural_schema(model: type[BaseModel]) -> Schema:
    """What users may write: camelCase fields with defaults, maxima and rules; what may be null may be absent."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _flat(node, definitions)
    unknown = set(node) - _NOT_STRUCTURAL - set(_COPIED)
    if unknown:
        raise ValueError(f"no structural form known for {sorted(unknown)} in {node}")
    result: Schema = {"description": _paragraphs(node["description"])} if "description" in node else {}
    result |= {key: node[key] for key in _COPIED if key in node}
    if "const" in node:
        result["enum"] = [node["const"]]
    if node.get("default") is not None:
        result["default"] = _without_null(node["default"])
    if "properties" in node:
        result["properties"] = {name: _structural(part, definitions) for name, part in node["properties"].items()}
    for name in ("items", "additionalProperties"):
        if name in node:
            result[name] = _structural(node[name], definitions)
    return result


def _without_null(default: Any) -> Any:
    """A field of an object's default that is absent is left out: the API server takes no null."""
    if isinstance(default, dict):
        return {name: _without_null(value) for name, value in default.items() if value is not None}
    return default


def _flat(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow references and `X | None`; what stands beside a reference wins, except that rules add up."""
    if "$ref" in node:
        target = _flat(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
        rules = target.get("x-kubernetes-validations", []) + node.get("x-kubernetes-validations", [])
        merged = target | {key: value for key, value in node.items() if key != "$ref"}
        return merged | ({"x-kubernetes-validations": rules} if rules else {})
    if "anyOf" in node:
        (choice,) = [part for part in node["anyOf"] if part != {"type": "null"}]
        return _flat(choice, definitions) | {key: value for key, value in node.items() if key != "anyOf"}
    return {key: value for key, value in node.items() if key != "$defs"}


def _paragraphs(docstring: str) -> str:
    """Lines joined to paragraphs: where a docstring breaks its lines is of no interest in `kubectl explain`."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", docstring.strip()))
