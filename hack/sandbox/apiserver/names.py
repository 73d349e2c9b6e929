"""What names, labels and finalizers may look like, with the sentences in which the real server refuses others."""

import re
import secrets

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.schema import ErrorKind, FieldError

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED_NAME})?"
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own: no vowels, so that no words come out."""
_GENERATED_BASE = 58
"""Longest prefix of a generated name: 63 characters less the 5 random ones."""


def generated_name(prefix: str) -> str:
    """A name from metadata.generateName."""
    return prefix[:_GENERATED_BASE] + "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))


def subdomain_fault(name: str) -> str | None:
    """Why a name is no RFC 1123 subdomain, or None."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    if re.fullmatch(_SUBDOMAIN, name):
        return None
    rule = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character"
    )
    return _with_pattern(rule, "'example.com'", _SUBDOMAIN)


def label_fault(name: str) -> str | None:
    """Why a name is no RFC 1123 label, or None."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if re.fullmatch(_LABEL, name):
        return None
    rule = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character"
    )
    return _with_pattern(rule, "'my-name',  or '123-abc'", _LABEL)


def dns_1035_fault(name: str) -> str | None:
    """Why a name is no RFC 1035 label (Services), or None."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if re.fullmatch(_DNS_1035, name):
        return None
    rule = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character"
    )
    return _with_pattern(rule, "'my-name',  or 'abc-123'", _DNS_1035)


def path_segment_fault(name: str) -> str | None:
    """Why a name cannot stand in a URL path (RBAC), or None."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    bad = next((character for character in "/%" if character in name), None)
    return f"may not contain '{bad}'" if bad else None


def qualified_name_fault(text: str) -> str | None:
    """Why a label key or finalizer is no qualified name, or None."""
    prefix, slash, name = text.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (fault := subdomain_fault(prefix)):
        return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    if re.fullmatch(_QUALIFIED_NAME, name):
        return None
    rule = (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character"
    )
    return _with_pattern(rule, "'MyName',  or 'my.name',  or '123-abc'", _QUALIFIED_NAME)


def label_value_fault(text: str) -> str | None:
    """Why a text is no label value, or None."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    if re.fullmatch(_LABEL_VALUE, text):
        return None
    rule = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character"
    )
    return _with_pattern(rule, "'MyValue',  or 'my_value',  or '12345'", _LABEL_VALUE)


def _with_pattern(rule: str, examples: str, pattern: str) -> str:
    return f"{rule} (e.g. {examples}, regex used for validation is '{pattern}')"


def label_errors(labels: JsonObject, path: str) -> list[FieldError]:
    """Errors of a map of labels."""
    errors = []
    for key, value in labels.items():
        if fault := qualified_name_fault(key):
            errors.append(FieldError(path, ErrorKind.INVALID, key, fault))
        if fault := label_value_fault(str(value)):
            errors.append(FieldError(path, ErrorKind.INVALID, value, fault))
    return errors
