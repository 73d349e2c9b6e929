"""Small pure parts: request lines, printer columns' paths, ages, protobuf bodies, names, and refusals of bad text."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.apiserver import names
from sandbox.apiserver.protobuf import decode_object
from sandbox.apiserver.protobuf.wire import read_fields, write_field
from sandbox.apiserver.quotas import quantity_text
from sandbox.apiserver.requests import parse_request
from sandbox.apiserver.schema.quantities import parse_quantity
from sandbox.apiserver.selectors import label_predicate, selector_text
from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import HISTORY_EVENTS, CompactedError, Key, RevisionConflictError, Store
from sandbox.apiserver.tables.durations import human_duration
from sandbox.apiserver.tables.jsonpath import compile_path


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "", "pods", "", "")),
        ("GET", "/api/v1/pods", {"watch": "true"}, ("watch", "", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p/log", {}, ("get", "", "n", "pods", "p", "log")),
        ("GET", "/api/v1/namespaces/n", {}, ("get", "", "n", "namespaces", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", {}, ("update", "", "n", "namespaces", "n", "finalize")),
        ("GET", "/api/v1/namespaces/n/status", {}, ("get", "", "n", "namespaces", "n", "status")),
        ("PATCH", "/apis/batch/v1/namespaces/n/jobs/j/status", {}, ("patch", "batch", "n", "jobs", "j", "status")),
        ("DELETE", "/apis/batch/v1/namespaces/n/jobs", {}, ("deletecollection", "batch", "n", "jobs", "", "")),
        (
            "POST",
            "/apis/storage.k8s.io/v1/storageclasses",
            {},
            ("create", "storage.k8s.io", "", "storageclasses", "", ""),
        ),
    ],
)
def test_request_lines(method: str, path: str, query: dict[str, str], expected: tuple[str, ...]) -> None:
    """A request line is taken apart into verb, group, namespace, resource, name and subresource."""
    info = parse_request(method, path, query)
    assert (info.verb, info.group, info.namespace, info.resource, info.name, info.subresource) == expected


@pytest.mark.parametrize(
    "path", ["/healthz", "/api", "/api/v1", "/apis", "/apis/batch", "/apis/batch/v1", "/openapi/v3"]
)
def test_non_resource_paths(path: str) -> None:
    """Other paths name no resource; their verb is the method."""
    info = parse_request("GET", path, {})
    assert (info.is_resource, info.verb) == (False, "get")


DOCUMENT = {
    "spec": {"sizes": [1, 2], "a.b": "dotted"},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.sizes[0]", [1]),
        (".spec.sizes[*]", [1, 2]),
        (".spec.sizes[-1]", [2]),
        (r".spec.a\.b", ["dotted"]),
        (".spec['a.b']", ["dotted"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Other')].status", ["False"]),
        (".status.conditions[?(@.type != 'Other')].status", ["True"]),
        (".status.nothing.deeper", []),
        ("..type", ["Ready", "Other"]),
    ],
)
def test_json_paths(path: str, expected: list[Any]) -> None:
    """Printer columns' paths find what kubectl's would."""
    assert list(compile_path(path)(DOCUMENT)) == expected


def test_bad_json_path() -> None:
    """A path that is none is refused when the column is made."""
    with pytest.raises(ValueError, match="no JSONPath"):
        compile_path(".a[")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (600, "10m"), (10800, "3h"), (28800, "8h")),
        *((172800, "2d"), (180000, "2d2h"), (691200, "8d"), (63072000, "2y"), (-5, "<invalid>")),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    """Ages are printed as kubectl prints them."""
    assert human_duration(timedelta(seconds=seconds)) == text


def field(number: int, body: bytes) -> bytes:
    """A length-delimited protobuf field of up to 127 bytes."""
    return bytes([number << 3 | 2, len(body)]) + body


def test_protobuf_object() -> None:
    """A ConfigMap in Kubernetes' protobuf envelope becomes its JSON object, without Go's empty texts and zero time."""
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    seconds = int(moment.timestamp())
    varint = bytes([seconds & 0x7F | 0x80, seconds >> 7 & 0x7F | 0x80, seconds >> 14 & 0x7F | 0x80])
    varint += bytes([seconds >> 21 & 0x7F | 0x80, seconds >> 28])
    created = field(8, b"\x08" + varint)
    metadata = field(1, b"a") + field(3, b"") + created + field(11, field(1, b"k") + field(2, b"v"))
    config_map = (
        field(1, metadata) + field(2, field(1, b"key") + field(2, b"text")) + field(3, field(1, b"b") + field(2, b"\0"))
    )
    envelope = b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, config_map)
    assert decode_object(envelope) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "creationTimestamp": "2026-11-22T00:00:00Z", "labels": {"k": "v"}},
        "data": {"key": "text"},
        "binaryData": {"b": "AA=="},
    }


def test_unknown_protobuf_type() -> None:
    """A kind without a protobuf form is refused with the way out."""
    envelope = b"k8s\x00" + field(1, field(1, b"e/v1") + field(2, b"Widget")) + field(2, b"")
    with pytest.raises(ValueError, match="send JSON"):
        decode_object(envelope)


@given(st.binary(max_size=60))
def test_malformed_protobuf(body: bytes) -> None:
    """Any bytes are either read or refused with ValueError; nothing else escapes."""
    try:
        fields = list(read_fields(body))
    except ValueError:
        return
    except struct.error:
        pytest.fail("the reader must check lengths itself")
    assert all(number >= 0 for number, _ in fields)


@given(st.integers(0, 1 << 60))
def test_quantities_are_exact(number: int) -> None:
    """A usage is printed as the quantity that it is."""
    assert parse_quantity(quantity_text(parse_quantity(str(number)))) == number


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.subdomain_fault, ["a", "a.b-c", "0"], ["A", "-a", "a..b", "a_b", "a" * 254]),
        (names.label_fault, ["a", "a-b"], ["a.b", "", "a" * 64]),
        (names.dns_1035_fault, ["a1"], ["1a"]),
        (names.path_segment_fault, ["system:node", "A"], ["a/b", "..", "50%"]),
        (names.qualified_name_fault, ["a", "e.com/A_b"], ["/a", "e.com/", "e.com/a/b", "E.com/a"]),
        (names.label_value_fault, ["", "a.B_c"], ["-a", "a b", "a" * 64]),
    ],
)
def test_names(rule: Any, good: list[str], bad: list[str]) -> None:
    """Names are checked by Kubernetes' rules."""
    assert [name for name in good if rule(name)] == []
    assert [name for name in bad if not rule(name)] == []


@pytest.mark.parametrize("text", ["a in (b", "=a", "a=b c", ",a", "a>1"])
def test_bad_label_selectors(text: str) -> None:
    """A selector that cannot be read is refused, never ignored."""
    with pytest.raises(ApiError):
        label_predicate(text)


def stored(store: Store, name: str) -> int:
    """Store an object; returns its revision."""
    return store.create(Key("", "things", "", name), {"metadata": {"name": name, "uid": name}}).revision


def test_history_is_bounded() -> None:
    """A resource keeps its last events; a watch from before them is told so, one from among them misses nothing."""
    store = Store()
    first = stored(store, "first")
    revisions = [stored(store, str(number)) for number in range(HISTORY_EVENTS)]
    assert [event.entry.revision for event in store.events_since("", "things", first)] == revisions
    with pytest.raises(CompactedError):
        store.events_since("", "things", first - 1)


def test_writes_expect_a_revision() -> None:
    """An update or delete that expects another revision is refused and changes nothing."""
    store = Store()
    revision = stored(store, "a")
    key = Key("", "things", "", "a")
    for write in (store.update, store.delete):
        with pytest.raises(RevisionConflictError):
            write(key, {"metadata": {"name": "a", "uid": "a"}}, revision - 1)
    assert store.revision == revision


@given(st.lists(st.tuples(st.integers(1, 4000), st.binary(max_size=300) | st.booleans())))
def test_written_fields_are_read(fields: list[tuple[int, bytes | bool]]) -> None:
    """What is written in protobuf's wire format is read again."""
    assert list(read_fields(b"".join(write_field(number, value) for number, value in fields))) == fields


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, ""),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a notin (x)"),
        ({"matchLabels": {"b": "2"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a"),
    ],
)
def test_selectors_as_text(selector: dict[str, Any], text: str) -> None:
    """A LabelSelector is written as the parameter that selects the same."""
    assert selector_text(selector) == text
