"""Readiness, liveness and startup probes over HTTP and TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp

from sandbox.cluster.client import Object


class Probe:
    """One probe of one container. Kinds other than httpGet and tcpSocket raise ValueError."""

    def __init__(self, spec: Object, container: Object, address: str) -> None:
        self.period_seconds = float(spec.get("periodSeconds", 10))
        self.delay_seconds = float(spec.get("initialDelaySeconds", 0))
        self.failure_threshold = int(spec.get("failureThreshold", 3))
        self.success_threshold = int(spec.get("successThreshold", 1))
        self._timeout_seconds = float(spec.get("timeoutSeconds", 1))
        self._address = address
        if not spec.keys() & {"httpGet", "tcpSocket"}:
            raise ValueError(f"container {container['name']}: only httpGet and tcpSocket probes are played")
        self._http = spec.get("httpGet")
        self._port = _port_number((self._http or spec["tcpSocket"])["port"], container)

    async def passes(self) -> bool:
        """Probes once."""
        with suppress(OSError, aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                return await (self._get() if self._http else self._connect())
        return False

    async def _get(self) -> bool:
        assert self._http is not None
        host, path = self._http.get("host") or self._address, self._http.get("path", "/")
        url = f"{self._http.get('scheme', 'HTTP').lower()}://{host}:{self._port}{path}"
        headers = {item["name"]: item["value"] for item in self._http.get("httpHeaders") or []}
        # As the kubelet, which checks no certificates.
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as response:
            return 200 <= response.status < 400

    async def _connect(self) -> bool:
        _, writer = await asyncio.open_connection(self._address, self._port)
        writer.close()
        return True


async def follow(probe: Probe, on_change: Callable[[bool], Awaitable[None]]) -> None:
    """Probes until cancelled; reports each change of the verdict, which begins as failed without being reported."""
    await asyncio.sleep(probe.delay_seconds)
    verdict, streak = False, 0
    while True:
        passed = await probe.passes()
        streak = streak + 1 if passed != verdict else 0
        if streak >= (probe.success_threshold if passed else probe.failure_threshold):
            verdict, streak = passed, 0
            await on_change(verdict)
        await asyncio.sleep(probe.period_seconds)


async def wait_for_failure(probe: Probe) -> None:
    """Returns when the probe has failed as often in a row as it may (liveness, startup that never passes)."""
    await asyncio.sleep(probe.delay_seconds)
    failures = 0
    while failures < probe.failure_threshold:
        failures = 0 if await probe.passes() else failures + 1
        if failures < probe.failure_threshold:
            await asyncio.sleep(probe.period_seconds)


async def wait_for_start(probe: Probe) -> bool:
    """True as soon as a startup probe passes, False once it has failed too often."""
    await asyncio.sleep(probe.delay_seconds)
    for _ in range(probe.failure_threshold):
        if await probe.passes():
            return True
        await asyncio.sleep(probe.period_seconds)
    return False


def _port_number(port: int | str, container: Object) -> int:
    for declared in container.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return int(port)
