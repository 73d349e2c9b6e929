"""Stores that are kept to a rate."""

from safehold.engine.store.limits import LimitedStore, Rate
from safehold.engine.store.memory import MemoryStore


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.now += seconds


def test_bodies_keep_to_their_rate() -> None:
    """Up and down have rates of their own; a pause is not saved up for later."""
    clock = Clock()
    rates = {"upload": 1000, "download": 500}
    store = LimitedStore(
        MemoryStore(), **{way: Rate(rate, clock=clock, sleep=clock.sleep) for way, rate in rates.items()}
    )
    for number in range(5):
        store.put(f"a{number}", bytes(1000))
    assert clock.now == 104.0
    upload = store.start_upload("b")
    upload.put_part(1, bytes(3000))
    upload.complete()
    assert clock.now == 105.0
    clock.now = 200.0
    store.get("b")
    store.get_range("b", 0, 500)
    assert clock.now == 206.0
    store.put("c", bytes(1000))
    assert clock.now == 206.0


def test_without_a_limit_nothing_waits() -> None:
    """The wrapper gives what the store gives."""
    store = LimitedStore(MemoryStore())
    store.put("a", b"body")
    assert store.get("a") == b"body"
    assert b"".join(store.stream_range("a", 1, [2])) == b"od"
    assert [entry.name for entry in store.list("")] == ["a"]
    store.delete("a")
    assert (list(store.list("")), store.bytes_sent(), store.bytes_received()) == ([], 4, 6)
