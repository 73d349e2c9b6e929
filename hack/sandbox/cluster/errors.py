"""What an API server refuses, as exceptions.

ApiError
├── NotFoundError        404
├── ConflictError        409, the object or a precondition changed meanwhile
│   └── AlreadyExistsError
├── ForbiddenError       403, RBAC, quota, or a namespace that is being terminated
├── InvalidError         422
└── GoneError            410, a watch started from a resourceVersion that is too old
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer with status >= 400. `reason` and `details` are those of the Status object, empty if there was none."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}


class NotFoundError(ApiError):
    """No such object or resource."""


class ConflictError(ApiError):
    """The resourceVersion or uid given is not the present one."""


class AlreadyExistsError(ConflictError):
    """An object of this name exists."""


class ForbiddenError(ApiError):
    """Not allowed: RBAC, quota, or the namespace is ending."""


class InvalidError(ApiError):
    """The object fails validation."""


class GoneError(ApiError):
    """List again: the history since that resourceVersion is no longer kept."""


_BY_CODE: dict[int, type[ApiError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}


def error_of(code: int, body: Any) -> ApiError:
    """The typed error for an answer: `body` is the decoded Status object, or the text that came instead."""
    status: dict[str, Any] = body if isinstance(body, dict) else {"message": str(body)}
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    kind = AlreadyExistsError if reason == "AlreadyExists" else _BY_CODE.get(code, ApiError)
    return kind(code, reason, str(status.get("message") or ""), status.get("details"))
