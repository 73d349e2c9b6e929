"""The repository key as people keep it: one line of text with a checksum against typing errors."""

import base64
import binascii
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from safehold.errors import KeyMaterialError, UsageError

KEY_BYTES = 32
_CHECK_BYTES = 4
_LABEL = "safehold-key-1:"
_FIRST_LABEL = "safehold-key-0:"
"""Of format 0, which no repository of this release has."""


def derive(key: bytes, *, salt: bytes = b"", info: str | bytes, length: int = 32) -> bytes:
    """HKDF-SHA-256, the only derivation of the format."""
    label = info.encode() if isinstance(info, str) else info
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=label).derive(key)


@dataclass(frozen=True, slots=True)
class RepositoryKey:
    """32 bytes that open every key set wrapped for them. Never shown: not even by repr."""

    secret: bytes

    def __repr__(self) -> str:
        return f"RepositoryKey(recipient={self.recipient})"

    @property
    def recipient(self) -> str:
        """The key's public name in the repository; tells nothing about the key."""
        return derive(self.secret, info="safehold/1/recipient", length=8).hex()

    @classmethod
    def generate(cls) -> "RepositoryKey":
        """A new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> "RepositoryKey":
        """The key of a key file's text. Raises KeyMaterialError (InvalidKey) without quoting the text."""
        line = text.strip()
        if line.startswith(_FIRST_LABEL):
            raise KeyMaterialError(
                "The repository key is of format 0, which this release does not read",
                expected=_LABEL,
                found=_FIRST_LABEL,
                remedy="make a new key with 'safehold key new' and a new repository; release 0.1 reads the old one",
            )
        if not line.startswith(_LABEL):
            raise _malformed("it does not begin with " + _LABEL)
        try:
            raw = base64.b64decode(line.removeprefix(_LABEL), validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("what follows the label is not base64") from None
        if len(raw) != KEY_BYTES + _CHECK_BYTES:
            raise _malformed(f"it holds {len(raw)} bytes instead of {KEY_BYTES + _CHECK_BYTES}")
        secret, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
        if _checksum(secret) != check:
            raise _malformed("its checksum does not fit; a character is wrong")
        return cls(secret)

    def text(self) -> str:
        """The key file's one line, with its line feed."""
        return _LABEL + base64.b64encode(self.secret + _checksum(self.secret)).decode() + "\n"


def read_key_file(path: Path) -> RepositoryKey:
    """The key in a file; KeyMaterialError (InvalidKey) if the file is missing or is no key file."""
    try:
        return RepositoryKey.parse(path.read_text(encoding="ascii"))
    except OSError as problem:
        raise KeyMaterialError(
            f"The key file {path} cannot be read", found=problem.strerror, remedy="create one with 'safehold key new'"
        ) from problem
    except UnicodeDecodeError:
        raise _malformed("it is not plain text") from None


def write_key_file(path: Path, key: RepositoryKey) -> None:
    """Create the file with mode 0600. An existing file is never touched: it may be the only copy of a key."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already and may be the only copy of a key", remedy="choose another name"
        ) from None
    except OSError as problem:
        raise UsageError(f"{path} cannot be created", found=problem.strerror) from problem
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.text())
        file.flush()
        os.fsync(file.fileno())


def _checksum(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()[:_CHECK_BYTES]


def _malformed(found: str) -> KeyMaterialError:
    return KeyMaterialError(
        "The repository key is malformed", found=found, remedy="use the unchanged output of 'safehold key new'"
    )
