"""Informers and controllers over a real HTTP server with a scripted watch."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller, WorkQueue
from sandbox.cluster.errors import ApiError, ConflictError
from sandbox.cluster.informer import Informer, Key
from sandbox.cluster.kinds import POD


def pod(name: str, version: int) -> Object:
    """A pod of namespace a at a resourceVersion."""
    return {"metadata": {"name": name, "namespace": "a", "resourceVersion": str(version)}}


class ScriptedApi:
    """Serves one list per relist and one scripted stream per watch; the last stream stays open."""

    def __init__(self, lists: list[tuple[list[Object], int]], streams: list[list[Any]]) -> None:
        self.lists, self.streams = lists, streams
        self.watched_from: list[str] = []
        self.feed: asyncio.Queue[Any] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a list or a watch of pods."""
        if "watch" not in request.query:
            items, version = self.lists.pop(0)
            return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": items})
        self.watched_from.append(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if self.streams:
            for event in self.streams.pop(0):
                await response.write(json.dumps(event).encode() + b"\n")
            return response
        while True:
            await response.write(json.dumps(await self.feed.get()).encode() + b"\n")


@asynccontextmanager
async def serving(tmp_path: Path, api: ScriptedApi) -> AsyncIterator[Cluster]:
    """A connection to the scripted API."""
    app = web.Application()
    app.router.add_get("/{path:.*}", api.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": str(server.make_url(""))}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    try:
        async with Cluster.connect(tmp_path / "config") as cluster:
            yield cluster
    finally:
        await server.close()


@asynccontextmanager
async def running(*coroutines: Any) -> AsyncIterator[None]:
    """Runs them beside the test and ends them with it."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_watch_goes_on_from_the_last_version(tmp_path: Path) -> None:
    """A stream that ends is continued from the last event or bookmark, without listing again."""
    added = {"type": "ADDED", "object": pod("new", 6)}
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    api = ScriptedApi([([pod("old", 3)], 5)], [[added], [bookmark]])
    async with serving(tmp_path, api) as cluster:
        informer = Informer(cluster, POD)
        heard: asyncio.Queue[str] = asyncio.Queue()
        informer.subscribe(lambda obj: heard.put_nowait(obj["metadata"]["name"]))
        async with running(informer.run()):
            await api.feed.put({"type": "DELETED", "object": pod("old", 10)})
            assert [await heard.get() for _ in range(3)] == ["old", "new", "old"]
            assert api.watched_from == ["5", "6", "9"]
            assert informer.get("old", "a") is None
            assert [obj["metadata"]["name"] for obj in informer.list("a")] == ["new"]


async def test_history_that_is_gone_is_listed_again(tmp_path: Path) -> None:
    """After 410 the informer lists again and tells of what changed and what vanished meanwhile, and of nothing else."""
    expired = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
    lists = [([pod("same", 1), pod("changed", 2), pod("gone", 3)], 5), ([pod("same", 1), pod("changed", 7)], 8)]
    api = ScriptedApi(lists, [[expired]])
    async with serving(tmp_path, api) as cluster:
        informer = Informer(cluster, POD)
        heard: asyncio.Queue[str] = asyncio.Queue()
        informer.subscribe(lambda obj: heard.put_nowait(obj["metadata"]["name"]))
        async with running(informer.run()):
            assert sorted([await heard.get() for _ in range(3)]) == ["changed", "gone", "same"]
            assert [await heard.get() for _ in range(2)] == ["gone", "changed"]
            await api.feed.put({"type": "ADDED", "object": pod("next", 9)})
            assert await heard.get() == "next"
            assert informer.get("gone", "a") is None
            assert api.watched_from == ["5", "8"]


async def test_failures_are_retried_until_success(tmp_path: Path) -> None:
    """A reconcile that fails is called again; one that asks for an appointment gets it; a success ends it."""
    api = ScriptedApi([([pod("p", 1)], 1)], [])
    outcomes: list[Exception | float | None] = [ConflictError(409, "Conflict", ""), ApiError(500, "", ""), 0.01, None]
    calls: list[Key] = []
    ended = asyncio.Event()

    async def reconcile(key: Key) -> float | None:
        calls.append(key)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            ended.set()
        return outcome

    async with serving(tmp_path, api) as cluster:
        controller = Controller(cluster, "test", backoff_seconds=0.01).watch(POD)
        async with running(controller.run(reconcile)):
            await asyncio.wait_for(ended.wait(), 60)
    assert calls == [("a", "p")] * 4


async def test_keys_come_from_the_mapping(tmp_path: Path) -> None:
    """A watched object can queue other keys than its own."""
    api = ScriptedApi([([pod("p", 1)], 1)], [])
    seen: asyncio.Queue[Key] = asyncio.Queue()

    async def reconcile(key: Key) -> None:
        seen.put_nowait(key)

    async with serving(tmp_path, api) as cluster:
        controller = Controller(cluster, "test").watch(POD, lambda _: [("x", "1"), ("x", "2")])
        async with running(controller.run(reconcile)):
            assert [await seen.get() for _ in range(2)] == [("x", "1"), ("x", "2")]


async def test_a_bug_is_not_swallowed(tmp_path: Path) -> None:
    """An exception that is no refusal of the API ends the controller instead of being retried in silence."""
    api = ScriptedApi([([pod("p", 1)], 1)], [])

    async def reconcile(_: Key) -> None:
        raise KeyError("metadata")

    async with serving(tmp_path, api) as cluster:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(Controller(cluster, "test").watch(POD).run(reconcile), 60)
        assert caught.value.subgroup(KeyError)


async def test_queue_holds_each_key_once() -> None:
    """A key added twice is worked on once; added during the work, once more afterwards, never by two at a time."""
    queue = WorkQueue(0.01, 1)
    queue.add(("a", "p"))
    queue.add(("a", "p"))
    key = await queue.take()
    queue.add(key)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.take(), 0.02)
    queue.done(key)
    assert await asyncio.wait_for(queue.take(), 60) == key


async def test_queue_backs_off() -> None:
    """The delay doubles up to the maximum and starts anew after a success."""
    queue = WorkQueue(1, 5)
    key = ("a", "p")
    assert [queue.retry(key) for _ in range(4)] == [1, 2, 4, 5]
    queue.forget(key)
    assert queue.retry(key) == 1
    queue.close()
