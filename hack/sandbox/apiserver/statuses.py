"""Refusals, worded as kube-apiserver words them: each is a `Status` document with a code, a reason and details.

Clients decide on code and reason, people read the message; both are part of the API.
"""

from collections.abc import Sequence

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.schema import FieldError
from sandbox.apiserver.schema.fields import ROOT


class ApiError(Exception):
    """A request that is answered with a failure Status."""

    def __init__(self, code: int, reason: str, message: str, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> JsonObject:
        """The response body."""
        body: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(group: str, plural: str) -> str:
    """`deployments.apps`, or `pods` in the core group."""
    return f"{plural}.{group}" if group else plural


def _details(group: str, plural: str, name: str, **more: object) -> JsonObject:
    details: JsonObject = {"name": name} if name else {}
    if group:
        details["group"] = group
    if plural:
        details["kind"] = plural
    details.update(more)
    return details


def not_found(group: str, plural: str, name: str) -> ApiError:
    """No object of that name."""
    return ApiError(404, "NotFound", f'{qualified(group, plural)} "{name}" not found', _details(group, plural, name))


def no_such_resource() -> ApiError:
    """The path names a resource or subresource that this server does not have."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """Create found an object of that name."""
    message = f'{qualified(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """The write was based on another state of the object than the present one."""
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(group, plural, name))


def modified_meanwhile(group: str, plural: str, name: str) -> ApiError:
    """The resourceVersion sent is not the object's."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(group, plural, name, why)


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """The object breaks its schema or a rule; every field error is named."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{qualified(group, kind)} "{name}" is invalid: {joined}'
    causes = [_cause(error) for error in errors]
    return ApiError(422, "Invalid", message, _details(group, kind, name, causes=causes))


def _cause(error: FieldError) -> JsonObject:
    return {"reason": error.kind.value, "message": error.body, "field": error.path or ROOT}


def forbidden(group: str, plural: str, name: str, why: str, causes: list[JsonObject] | None = None) -> ApiError:
    """Not allowed: RBAC, quota, or a namespace that ends."""
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    details = _details(group, plural, name, **({"causes": causes} if causes else {}))
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def unauthorized() -> ApiError:
    """Credentials were sent that this server does not know."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_supported(group: str, plural: str, verb: str) -> ApiError:
    """The resource exists, but not this verb of it."""
    message = f'{verb} is not supported on resources of kind "{qualified(group, plural)}"'
    return ApiError(405, "MethodNotAllowed", message, _details(group, plural, ""))


def unsupported_media(found: str, accepted: Sequence[str]) -> ApiError:
    """The body's media type is none that this verb takes."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
        + (f"; found {found}" if found else "")
    )
    return ApiError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    """The client accepts none of the media types that this path has."""
    message = "only the following media types are accepted: " + ", ".join(accepted)
    return ApiError(406, "NotAcceptable", message)


def expired(message: str) -> ApiError:
    """A resourceVersion or continue token lies before the history that is kept."""
    return ApiError(410, "Expired", message)


def too_large_version(asked: int, current: int) -> ApiError:
    """The client asks for a revision that does not exist yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", message, details)


def internal(message: str) -> ApiError:
    """The server, or something that it had to call, failed."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def unavailable(message: str) -> ApiError:
    """An aggregated API does not answer."""
    return ApiError(503, "ServiceUnavailable", message)
