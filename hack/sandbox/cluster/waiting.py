"""Waiting for an object to reach a state, by watching it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import GoneError
from sandbox.cluster.kinds import Kind


async def wait_until(
    cluster: Cluster,
    kind: Kind,
    name: str,
    namespace: str | None = None,
    *,
    reached: Callable[[Object | None], bool],
    timeout_seconds: float = 180,
) -> Object | None:
    """The object (None: it does not exist) as soon as `reached` holds for it; TimeoutError shows what it was last."""
    last: Object | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                fields = f"metadata.name={name}"
                items, version = await cluster.list_with_version(kind, namespace, fields=fields)
                last = items[0] if items else None
                if reached(last):
                    return last
                watch = cluster.watch(kind, namespace, resource_version=version, fields=fields)
                with suppress(GoneError):
                    # Closed here and now: left to the garbage collector, its connection outlives the client.
                    async with aclosing(watch) as events:
                        async for event, obj in events:
                            if event == "BOOKMARK":
                                continue
                            last = None if event == "DELETED" else obj
                            if reached(last):
                                return last
    except TimeoutError as error:
        state = "absent" if last is None else last.get("status") or last["metadata"]
        where = f"{kind.kind} {namespace + '/' if namespace else ''}{name}"
        raise TimeoutError(f"{where} did not get there within {timeout_seconds} s; it is {state}") from error


async def wait_until_gone(
    cluster: Cluster, kind: Kind, name: str, namespace: str | None = None, *, timeout_seconds: float = 180
) -> None:
    """Returns once the object does not exist any more."""
    await wait_until(cluster, kind, name, namespace, reached=lambda obj: obj is None, timeout_seconds=timeout_seconds)
