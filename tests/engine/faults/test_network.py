"""Backups and restores through a bad network, against a real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.geometry import FORMAT_1, MIB
from safehold.errors import IntegrityError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory
    from tests.engine.faults.conftest import Exchange, Network

    from safehold.engine.store.s3 import S3Store

Noise = Callable[[int], bytes]
OpenStore = Callable[[], "S3Store"]
Kind = Callable[["Exchange"], bool]
_DISK_BYTES = 18 * MIB
"""Uploaded in parts."""


@pytest.fixture
def lab(laboratory: Laboratory) -> Laboratory:
    """The laboratory with the sizes of real repositories."""
    laboratory.geometry = FORMAT_1
    return laboratory


def every(_: Exchange) -> bool:
    """All requests."""
    return True


def writes(exchange: Exchange) -> bool:
    """Those that are to change something."""
    return exchange.method in ("PUT", "POST", "DELETE")


def bodies(exchange: Exchange) -> bool:
    """Those that send an object, or a part of one."""
    return exchange.method == "PUT" and exchange.body_bytes > 0


def reads(exchange: Exchange) -> bool:
    """Those that get an object, or list some."""
    return exchange.method == "GET"


def completions(exchange: Exchange) -> bool:
    """The ends of uploads in parts."""
    return exchange.method == "POST" and "uploadId=" in exchange.path


@pytest.mark.parametrize(
    ("fault", "of"),
    [
        ("BUSY", every),
        ("BUSY_AFTERWARDS", writes),
        ("TORN", bodies),
        ("UNANSWERED", writes),
        ("REPLAYED", writes),
        ("CUT", reads),
        ("SLOW", every),
    ],
)
def test_a_bad_network_costs_time_only(
    lab: Laboratory, network: Network, open_store: OpenStore, noise: Noise, fault: str, of: Kind
) -> None:
    """Every first try fails: both points are made without a second run, and come back bit-identical."""
    first = noise(_DISK_BYTES)
    second = first[: 5 * MIB] + noise(MIB) + first[6 * MIB :]
    network.once(fault, of=of)
    points = [lab.back_up(lab.disk(content), store=open_store()) for content in (first, second)]
    assert [lab.restored(point, store=open_store()) for point in points] == [first, second]
    assert network.count(fault) > 5


def test_an_upload_that_was_completed_unheard_is_complete(
    lab: Laboratory, network: Network, open_store: OpenStore, noise: Noise
) -> None:
    """The answer is lost, and the store knows no such upload when it is asked again: the object decides."""
    content = noise(_DISK_BYTES)
    network.once("UNANSWERED", of=completions, then="FORGOTTEN")
    point = lab.back_up(lab.disk(content), store=open_store())
    assert network.count("FORGOTTEN") > 0
    assert lab.restored(point, store=open_store()) == content


def test_an_upload_that_the_store_has_lost_is_a_failure(
    lab: Laboratory, network: Network, open_store: OpenStore, noise: Noise
) -> None:
    """Parts that were dropped before they were an object are missed, and there is no point."""
    network.always("FORGOTTEN", of=completions)
    with pytest.raises(StoreError, match=r"Completing \S+packs/\S+: "):
        lab.back_up(lab.disk(noise(_DISK_BYTES)), store=open_store(), run_id="lost")
    assert lab.domain(open_store()).points.of_run(lab.owner(), "lost") is None


def test_a_storm_that_lasts_ends_the_run_and_nothing_else(
    lab: Laboratory, network: Network, open_store: OpenStore, noise: Noise
) -> None:
    """The run gives up, may be repeated, and has made no point; the point before is whole, and the repetition too."""
    first, second = noise(_DISK_BYTES), noise(_DISK_BYTES)
    older = lab.back_up(lab.disk(first), store=open_store())
    disk = lab.disk(second)
    network.always("BUSY", of=writes)
    with pytest.raises(StoreUnavailableError, match="SlowDown") as caught:
        lab.back_up(disk, store=open_store(), run_id="stormy")
    assert caught.value.retryable
    network.always("NONE", of=every)
    points = lab.domain(open_store()).points
    assert points.of_run(lab.owner(), "stormy") is None
    assert lab.restored(older, store=open_store()) == first
    newer = lab.back_up(disk, store=open_store(), run_id="stormy")
    assert lab.restored(newer, store=open_store()) == second


def test_answers_that_are_too_short_are_never_taken_for_whole(
    lab: Laboratory, network: Network, open_store: OpenStore, noise: Noise
) -> None:
    """A gateway that shortens bodies and lengths alike is found by what the repository knows; the object is named."""
    content = noise(4 * MIB)
    point = lab.back_up(lab.disk(content), store=open_store())
    network.always("SHORT", of=lambda exchange: "/packs/" in exchange.path)
    with pytest.raises(IntegrityError, match=r"packs/target/\w+/\w+ is truncated"):
        lab.restored(point, store=open_store())
    assert not (lab.folder / "restored").exists()
    network.always("NONE", of=every)
    assert lab.restored(point, store=open_store()) == content
