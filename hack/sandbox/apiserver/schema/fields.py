"""Field errors: where in an object, what kind of fault, which value, and the sentence that kube-apiserver prints."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ErrorKind(StrEnum):
    """Faults as `status.details.causes[].reason` names them."""

    REQUIRED = "FieldValueRequired"
    INVALID = "FieldValueInvalid"
    TYPE_INVALID = "FieldValueTypeInvalid"
    NOT_SUPPORTED = "FieldValueNotSupported"
    DUPLICATE = "FieldValueDuplicate"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"
    TOO_MANY = "FieldValueTooMany"


_TITLES: Final = {
    ErrorKind.REQUIRED: "Required value",
    ErrorKind.INVALID: "Invalid value",
    ErrorKind.TYPE_INVALID: "Invalid value",
    ErrorKind.NOT_SUPPORTED: "Unsupported value",
    ErrorKind.DUPLICATE: "Duplicate value",
    ErrorKind.FORBIDDEN: "Forbidden",
    ErrorKind.TOO_LONG: "Too long",
    ErrorKind.TOO_MANY: "Too many",
}
_WITHOUT_VALUE: Final = frozenset({ErrorKind.REQUIRED, ErrorKind.FORBIDDEN, ErrorKind.TOO_LONG})


class _Omitted:
    """The value is not shown: kube-apiserver prints no objects and lists in the errors of CEL rules."""


OMITTED: Final = _Omitted()
ROOT: Final = "<nil>"
"""How an error without a path prints its path."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field. `str()` is the real server's line, `body` that line without the path."""

    path: str
    kind: ErrorKind
    bad_value: object = OMITTED
    detail: str = ""

    @property
    def body(self) -> str:
        """The text of `status.details.causes[].message`."""
        parts = [_TITLES[self.kind]]
        if self.kind not in _WITHOUT_VALUE and self.bad_value is not OMITTED:
            parts.append(json.dumps(self.bad_value, ensure_ascii=False, separators=(",", ":"), default=str))
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)

    def __str__(self) -> str:
        return f"{self.path or ROOT}: {self.body}"


def child(path: str, name: str) -> str:
    """The path of a property."""
    return f"{path}.{name}" if path else name


def entry(path: str, key: str | int) -> str:
    """The path of a list item or of a map entry."""
    return f"{path}[{key}]"
