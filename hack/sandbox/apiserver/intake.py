"""Reading an object that a client sent: is it of this kind, which fields are unknown, which types are wrong."""

from typing import Any

from sandbox.apiserver import protobuf, statuses
from sandbox.apiserver.merge_keys import QUANTITY_FIELDS
from sandbox.apiserver.objects import JsonObject, copy_json, name_of
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.schema import ErrorKind, FieldError

_GO_TYPES = {"string": "string", "integer": "int32", "boolean": "bool", "number": "float64", "object": "struct"}


def read_object(request: WriteRequest, body: Any) -> JsonObject:
    """The object of a create, update or patch, without unknown fields. The body is not changed."""
    if not isinstance(body, dict):
        raise statuses.bad_request("the object provided is unrecognized (must be of type Object)")
    item: JsonObject = copy_json(body)
    _check_kind(request, item)
    if not request.resource.custom:
        # What a definition calls `default` is a value of its own schema, where LimitRanges have quantities.
        item = _without_nulls(item, quantities=request.resource.kind != "CustomResourceDefinition")
    elif isinstance(item.get("metadata"), dict):
        item["metadata"] = _without_nulls(item["metadata"])
    if not isinstance(item.setdefault("metadata", {}), dict):
        raise _unreadable(request, "json: cannot unmarshal value into Go struct field .metadata of type ObjectMeta")
    return settle(request, item, report=True)


def settle(request: WriteRequest, item: JsonObject, *, report: bool) -> JsonObject:
    """Prune unknown fields (reported as the request's fieldValidation asks) and empty ones, and fill in defaults."""
    schema = request.version.schema
    if report and request.field_validation != "Ignore":
        unknown = [f'unknown field "{path}"' for path in schema.unknown_fields(item)]
        if unknown and request.field_validation == "Strict":
            raise _unreadable(request, "strict decoding error: " + ", ".join(unknown))
        request.warnings.extend(unknown)
    return _without_empty_fields(request, schema.default(schema.prune(item)))


def _without_empty_fields(request: WriteRequest, item: JsonObject) -> JsonObject:
    """What the real server has of an object after reading it: Go's structs keep no empty fields."""
    message = None if request.resource.custom else protobuf.message_of(request.api_version, request.resource.kind)
    if message:
        return protobuf.without_empty_fields(message, item)
    return {**item, "metadata": protobuf.without_empty_fields(protobuf.OBJECT_META, item["metadata"])}


def _check_kind(request: WriteRequest, item: JsonObject) -> None:
    kind, api_version = request.resource.kind, request.api_version
    if item.setdefault("kind", kind) != kind or item.setdefault("apiVersion", api_version) != api_version:
        found = f"{item.get('apiVersion')}, Kind={item.get('kind')}"
        expected = f"{api_version}, Kind={kind}"
        message = f"the API version in the data ({found}) does not match the expected API version ({expected})"
        raise statuses.bad_request(message)


def _unreadable(request: WriteRequest, why: str) -> statuses.ApiError:
    kind = request.resource.kind
    return statuses.bad_request(f'{kind} in version "{request.version.name}" cannot be handled as a {kind}: {why}')


def _without_nulls(value: Any, *, quantities: bool = True) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_nulls(item, quantities=quantities) for key, item in value.items() if item is not None}
        return {key: _text_quantity(key, item) for key, item in kept.items()} if quantities else kept
    if isinstance(value, list):
        return [_without_nulls(item, quantities=quantities) for item in value]
    return value


def _text_quantity(key: str, value: Any) -> Any:
    """Quantities may be written as numbers, and are kept as text."""
    if key in QUANTITY_FIELDS and isinstance(value, dict):
        return {name: str(item) if _is_number(item) else item for name, item in value.items()}
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def schema_errors(request: WriteRequest, item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    """What the schema says. A wrong type in a built-in kind is 400 at once: the real server cannot decode it."""
    errors = request.version.schema.validate(item, old)
    if not request.resource.custom:
        for error in errors:
            if error.kind == ErrorKind.TYPE_INVALID:
                raise _undecodable(request, error)
    return errors


def _undecodable(request: WriteRequest, error: FieldError) -> statuses.ApiError:
    found = str(error.bad_value)
    wanted = error.detail.partition("must be of type ")[2].partition(":")[0]
    field = f"{request.resource.kind}.{error.path}"
    go_found = {"integer": "number", "boolean": "bool"}.get(found, found)
    why = f"json: cannot unmarshal {go_found} into Go struct field {field} of type {_GO_TYPES.get(wanted, wanted)}"
    return _unreadable(request, why)


def refuse_errors(request: WriteRequest, item: JsonObject, errors: list[FieldError]) -> None:
    """422 with every error, if there are any."""
    if errors:
        raise statuses.invalid(request.group, request.resource.kind, name_of(item), errors)
