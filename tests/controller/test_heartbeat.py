"""A controller that reaches nothing any more ends, to be started anew; one that reaches the cluster goes on."""

import asyncio
import os
import signal

import pytest

from safehold.controller.heartbeat import Heartbeat
from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[signal.Signals]:
    """What the process would have sent to itself."""
    sent: list[signal.Signals] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    return sent


async def test_silence_ends_the_process(operator: Operator, signals: list[signal.Signals]) -> None:
    """With an API server that does not answer for longer than the timeout, the process ends itself by SIGTERM."""
    operator.cluster.connection.api.configuration.host = "https://127.0.0.1:9"
    async with asyncio.timeout(60):
        await Heartbeat(timeout_seconds=0.05, interval_seconds=0.01).watch(operator.cluster)
    assert signals == [signal.SIGTERM]


async def test_an_answer_keeps_it_alive(operator: Operator, signals: list[signal.Signals]) -> None:
    """Each answer of the cluster counts from anew."""
    metrics = Metrics()
    heartbeat = Heartbeat(timeout_seconds=60, interval_seconds=0.01, on_beat=metrics.heartbeat.set_to_current_time)
    begun = heartbeat.last
    watch = asyncio.create_task(heartbeat.watch(operator.cluster))
    async with asyncio.timeout(60):
        while True:
            if heartbeat.last > begun:
                break
            await asyncio.sleep(0.01)
    watch.cancel()
    assert signals == []
    assert metrics.registry.get_sample_value("safehold_controller_heartbeat_timestamp_seconds"), "others can see it"
