"""Every seal of a repository's whole life, watched: no key and nonce ever meet twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.index.folding import fold
from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune
from safehold.engine.repository import Domain
from safehold.errors import InterruptedRunError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory, StopAfter

CHUNK = 512
Noise = Callable[[int], bytes]


class WatchedCipher:
    """AES-GCM that counts what it seals under which key and nonce."""

    seals: ClassVar[Counter[tuple[bytes, bytes]]] = Counter()
    _counting = threading.Lock()

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Seal, and count."""
        self._count(nonce)
        return self._cipher.encrypt(nonce, data, associated_data)

    def encrypt_into(self, nonce: bytes, data: bytes, associated_data: bytes, place: memoryview) -> int:
        """Seal into a place, and count."""
        self._count(nonce)
        return self._cipher.encrypt_into(nonce, data, associated_data, place)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Open."""
        return self._cipher.decrypt(nonce, data, associated_data)

    def _count(self, nonce: bytes) -> None:
        with self._counting:
            self.seals[self._key, nonce] += 1


@pytest.fixture
def seals(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[bytes, bytes]]:
    """How often each pair of key and nonce has sealed, from now on."""
    monkeypatch.setattr(WatchedCipher, "seals", Counter())
    monkeypatch.setattr("safehold.engine.keys.sealing.AESGCM", WatchedCipher)
    return WatchedCipher.seals


UPKEEP: dict[str, Callable[[Domain], object]] = {
    "folds": lambda domain: fold(domain, everything=True),
    "compacts": lambda domain: compact(domain, grace=timedelta(0)),
    "prunes": lambda domain: prune(domain, grace=timedelta(0)),
}
attempts = st.tuples(
    st.sampled_from(["dies", "stops", "ends", *UPKEEP]),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from(["run-1", "run-2", "run-3"]),
    st.integers(0, 3),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(attempts, min_size=1, max_size=8))
def test_no_key_and_nonce_seal_twice(
    laboratory: Laboratory,
    faulty: type[FaultyStore],
    stop_after: type[StopAfter],
    noise: Noise,
    seals: Counter[tuple[bytes, bytes]],
    history: list[tuple[str, int, bool, str, int]],
) -> None:
    """Over runs and maintenance that die anywhere, are stopped and repeated; not even for the same bytes."""
    lab = type(laboratory)(laboratory.folder)
    content = noise(40 * CHUNK)
    for end, number, after_effect, run_id, change in history:
        disk = lab.disk(content[: change * CHUNK] + noise(5 * CHUNK) + content[change * CHUNK :])
        is_cut = end not in ("stops", "ends")
        store = faulty(lab.store, fail_at=number if is_cut else None, after_effect=after_effect)
        try:
            if end in UPKEEP:
                UPKEEP[end](lab.domain(store))
            else:
                lab.back_up(disk, run_id=run_id, store=store, stop=stop_after(number if end == "stops" else 10_000))
        except (StoreUnavailableError, InterruptedRunError):
            assert end != "ends"
    lab.back_up(lab.disk(content))
    assert len(seals) > 20
    assert max(seals.values()) == 1
