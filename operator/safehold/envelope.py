"""The envelope in which a restore hands the VM's manifest to the controller: a pod's log is readable by more than both.

The worker seals with the key of this one run; the controller, which made the key, opens.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Iterable
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from safehold.errors import IntegrityError
from safehold.report import SealedMachine

KEY_BYTES = 32
_NONCE_BYTES = 12
_PART_BYTES = 8 * 1024
"""Of sealed bytes in a line: with base64 and JSON below the 16 KiB at which container runtimes split lines."""


def new_key() -> bytes:
    """A key for one run."""
    return secrets.token_bytes(KEY_BYTES)


def seal_machine(objects: list[dict[str, Any]], key: bytes, run_id: str) -> list[SealedMachine]:
    """The lines that carry these Kubernetes objects."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    plain = json.dumps(objects, separators=(",", ":")).encode()
    sealed = nonce + AESGCM(key).encrypt(nonce, plain, run_id.encode())
    pieces = [sealed[at : at + _PART_BYTES] for at in range(0, len(sealed), _PART_BYTES)]
    return [
        SealedMachine(run_id=run_id, part=number, parts=len(pieces), sealed=base64.b64encode(piece).decode())
        for number, piece in enumerate(pieces)
    ]


def open_machine(lines: Iterable[SealedMachine], key: bytes, run_id: str) -> list[dict[str, Any]]:
    """The objects that this run's lines carry, in any order. IntegrityError if a part is missing or not right."""
    parts = {line.part: line for line in lines if line.run_id == run_id}
    if not parts or sorted(parts) != list(range(next(iter(parts.values())).parts)):
        raise IntegrityError("The worker's log lacks parts of the VM's manifest", found=f"parts {sorted(parts)}")
    try:
        sealed = b"".join(base64.b64decode(parts[number].sealed, validate=True) for number in sorted(parts))
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], run_id.encode())
    except (binascii.Error, ValueError, InvalidTag):
        raise IntegrityError("The VM's manifest in the worker's log is not what this run has sealed") from None
    return cast("list[dict[str, Any]]", json.loads(plain))
