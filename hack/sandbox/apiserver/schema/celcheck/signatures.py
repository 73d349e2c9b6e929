"""The functions of CEL and of Kubernetes' libraries: which arguments they take, and what they give."""

from itertools import permutations
from typing import Final, NamedTuple

from sandbox.apiserver.schema.celcheck.types import BOOL, DYN, INT, STRING, CelType, list_of


class Signature(NamedTuple):
    """One overload. An argument is a kind, `T` for any one type, or `list` for any list."""

    args: tuple[str, ...]
    result: str


def _signatures(*lines: str) -> dict[str, list[Signature]]:
    """Read `name(kind, kind) result` lines."""
    table: dict[str, list[Signature]] = {}
    for line in lines:
        head, result = line.rsplit(" ", 1)
        name, _, args = head.rstrip(")").partition("(")
        kinds = tuple(arg for arg in args.split(", ") if arg)
        table.setdefault(name, []).append(Signature(kinds, result))
    return table


_ORDERED: Final = ("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration")
_NUMBERS: Final = ("int", "uint", "double")

SIGNATURES: Final = _signatures(
    *(f"{operator}({kind}, {kind}) bool" for operator in ("<", "<=", ">", ">=") for kind in _ORDERED),
    *(
        f"{operator}({left}, {right}) bool"
        for operator in ("<", "<=", ">", ">=")
        for left, right in permutations(_NUMBERS, 2)
    ),
    *(f"{operator}({kind}, {kind}) {kind}" for operator in ("+", "-", "*", "/") for kind in _NUMBERS),
    "+(string, string) string",
    "+(bytes, bytes) bytes",
    "+(list, list) list",
    "+(timestamp, duration) timestamp",
    "+(duration, timestamp) timestamp",
    "+(duration, duration) duration",
    "-(timestamp, timestamp) duration",
    "-(timestamp, duration) timestamp",
    "-(duration, duration) duration",
    "%(int, int) int",
    "%(uint, uint) uint",
    "==(T, T) bool",
    "!=(T, T) bool",
    "&&(bool, bool) bool",
    "||(bool, bool) bool",
    "!_(bool) bool",
    "-_(int) int",
    "-_(double) double",
    "in(T, list) bool",
    "in(T, map) bool",
    "_[_](list, int) T",
    "_[_](map, T) T",
    *(f"size({kind}) int" for kind in ("string", "bytes", "list", "map")),
    *(f"{name}(string, string) bool" for name in ("contains", "startsWith", "endsWith", "matches")),
    "dyn(T) dyn",
    "type(T) type",
    *(f"int({kind}) int" for kind in ("int", "uint", "double", "string", "timestamp", "duration")),
    *(f"uint({kind}) uint" for kind in ("int", "uint", "double", "string")),
    *(f"double({kind}) double" for kind in ("int", "uint", "double", "string")),
    *(f"string({kind}) string" for kind in _ORDERED),
    "bool(string) bool",
    "bool(bool) bool",
    "bytes(string) bytes",
    "bytes(bytes) bytes",
    "duration(string) duration",
    "duration(duration) duration",
    "timestamp(string) timestamp",
    "timestamp(timestamp) timestamp",
    *(
        f"{name}(timestamp) int"
        for name in ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear")
    ),
    *(
        f"{name}({kind}) int"
        for name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
        for kind in ("timestamp", "duration")
    ),
    "charAt(string, int) string",
    *(f"{name}(string, string) int" for name in ("indexOf", "lastIndexOf")),
    *(f"{name}(string, string, int) int" for name in ("indexOf", "lastIndexOf")),
    *(f"{name}(list, T) int" for name in ("indexOf", "lastIndexOf")),
    *(f"{name}(string) string" for name in ("lowerAscii", "upperAscii", "trim")),
    "substring(string, int) string",
    "substring(string, int, int) string",
    "replace(string, string, string) string",
    "replace(string, string, string, int) string",
    "split(string, string) strings",
    "split(string, string, int) strings",
    "join(list) string",
    "join(list, string) string",
    "format(string, list) string",
    "find(string, string) string",
    "findAll(string, string) strings",
    "findAll(string, string, int) strings",
    "isSorted(list) bool",
    *(f"{name}(list) T" for name in ("min", "max", "sum")),
    "math.greatest(T, T) T",
    "math.least(T, T) T",
    *(f"sets.{name}(list, list) bool" for name in ("contains", "equivalent", "intersects")),
    "quantity(string) quantity",
    "isQuantity(string) bool",
    *(f"{name}(quantity, quantity) bool" for name in ("isGreaterThan", "isLessThan")),
    "compareTo(quantity, quantity) int",
    *(f"{name}(quantity) int" for name in ("sign", "asInteger")),
    "isInteger(quantity) bool",
    "asApproximateFloat(quantity) double",
    *(f"{name}(quantity, {kind}) quantity" for name in ("add", "sub") for kind in ("quantity", "int")),
    "url(string) url",
    "isURL(string) bool",
    *(f"{name}(url) string" for name in ("getScheme", "getHost", "getHostname", "getPort", "getEscapedPath")),
    "getQuery(url) dyn",
    "ip(string) ip",
    "ip(cidr) ip",
    "isIP(string) bool",
    "cidr(string) cidr",
    "isCIDR(string) bool",
    "family(ip) int",
    *(f"{name}(ip) bool" for name in ("isUnspecified", "isLoopback", "isLinkLocalUnicast", "isLinkLocalMulticast")),
    *(f"containsIP(cidr, {kind}) bool" for kind in ("ip", "string")),
    *(f"containsCIDR(cidr, {kind}) bool" for kind in ("cidr", "string")),
    "prefixLength(cidr) int",
    "masked(cidr) cidr",
    *(f"{name}(optional) bool" for name in ("hasValue",)),
    "value(optional) T",
    "orValue(optional, T) T",
    "optional.of(T) optional",
    "optional.none() optional",
)
TYPE_NAMES: Final = frozenset(
    {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "timestamp", "duration"}
)
"""Variables that stand for types, as in type(x) == int."""
_RESULTS: Final = {"bool": BOOL, "int": INT, "string": STRING, "strings": list_of(STRING), "dyn": DYN}


def result_type(function: str, args: tuple[CelType, ...]) -> CelType | None:
    """What a call gives, or None if no overload takes these arguments."""
    for signature in SIGNATURES.get(function, ()):
        if len(signature.args) == len(args) and _fits(function, signature, args):
            return _result(signature.result, args)
    return None


def _fits(function: str, signature: Signature, args: tuple[CelType, ...]) -> bool:
    if not all(
        wanted in ("T", "dyn", found.kind) or found.kind == "dyn"
        for wanted, found in zip(signature.args, args, strict=True)
    ):
        return False
    match function:
        case "==" | "!=" | "math.greatest" | "math.least":
            return args[0].accepts(args[1])
        case "in":
            held = args[1].key if args[1].kind == "map" else args[1].element
            return held is None or held.accepts(args[0])
        case "_[_]":
            return args[0].key is None or args[0].key.accepts(args[1])
        case "orValue":
            return args[0].element is None or args[0].element.accepts(args[1])
        case "+":
            return args[0].kind != "list" or args[0].accepts(args[1])
    return True


def _result(name: str, args: tuple[CelType, ...]) -> CelType:
    if name == "T":
        # An element of a list, map or optional, or one of two equals.
        return (args[0].element or DYN) if args[0].kind in ("list", "map", "optional", "dyn") else args[0]
    if name == "list":
        return args[0] if args[0].element else args[1]
    if name == "optional":
        return CelType("optional", element=args[0] if args else DYN)
    return _RESULTS.get(name) or CelType(name)
