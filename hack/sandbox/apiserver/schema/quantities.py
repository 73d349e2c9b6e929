"""Kubernetes quantities (10Gi, 500m, 1e3) and CEL's functions on them."""

import re
from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?",
)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}

Quantity = dict[str, str]
"""How a quantity travels through CEL: {"quantity": the exact number}."""


def parse_quantity(text: str) -> Decimal:
    """The exact number; ValueError if the text is no quantity."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return number.scaleb(exponent)


def _wrapped(number: Decimal) -> Quantity:
    return {"quantity": format(number.normalize(), "f")}


def _number(value: Quantity | float) -> Decimal:
    return Decimal(value["quantity"]) if isinstance(value, dict) else Decimal(value)


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _compare(left: Quantity, right: Quantity) -> int:
    return int(_number(left).compare(_number(right)))


def _as_integer(value: Quantity) -> int:
    number = _number(value)
    if number != number.to_integral_value(ROUND_FLOOR):
        raise ValueError("cannot convert value to integer")
    return int(number)


QUANTITY_FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "quantity": lambda text: _wrapped(parse_quantity(text)),
    "isQuantity": _is_quantity,
    "isGreaterThan": lambda left, right: _compare(left, right) > 0,
    "isLessThan": lambda left, right: _compare(left, right) < 0,
    "compareTo": _compare,
    "sign": lambda value: _compare(value, {"quantity": "0"}),
    "isInteger": lambda value: _number(value) == _number(value).to_integral_value(ROUND_FLOOR),
    "asInteger": _as_integer,
    "asApproximateFloat": lambda value: float(_number(value)),
    "add": lambda left, right: _wrapped(_number(left) + _number(right)),
    "sub": lambda left, right: _wrapped(_number(left) - _number(right)),
}
