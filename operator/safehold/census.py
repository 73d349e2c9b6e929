"""A census: which uids there are, so small that a Secret holds it. The controller takes it, a worker looks into it.

Of each uid six bytes of a digest are kept, eight characters: 100,000 VMs fill 0.8 of a Secret's 1 MiB, their uids
would fill four. A uid that is not in it may be taken for one that is, once in 2.8 billion among 100,000: that keeps
what could go. The reverse cannot happen.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from safehold.errors import UsageError

_BYTES = 6


@dataclass(frozen=True, slots=True)
class Census:
    """The digests of the uids."""

    digests: frozenset[bytes]

    @classmethod
    def of(cls, uids: Iterable[str]) -> Self:
        """Take it."""
        return cls(frozenset(map(_digest, uids)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The census that `text` wrote; UsageError for anything else."""
        try:
            packed = base64.b64decode(text, validate=True)
        except ValueError as problem:
            raise UsageError("The census of VMs is malformed", expected="base64") from problem
        if len(packed) % _BYTES:
            raise UsageError(
                "The census of VMs is cut off", expected=f"a multiple of {_BYTES} bytes", found=len(packed)
            )
        return cls(frozenset(packed[start : start + _BYTES] for start in range(0, len(packed), _BYTES)))

    def text(self) -> str:
        """One line, the same for the same uids."""
        return base64.b64encode(b"".join(sorted(self.digests))).decode()

    def __contains__(self, uid: str) -> bool:
        """Whether the uid is one of them."""
        return _digest(uid) in self.digests


def _digest(uid: str) -> bytes:
    return hashlib.blake2b(uid.encode(), digest_size=_BYTES).digest()
