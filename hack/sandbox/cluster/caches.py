"""The caches that all controllers of a part share."""

from __future__ import annotations

import asyncio

from sandbox.cluster.client import Cluster
from sandbox.cluster.informer import Informer
from sandbox.cluster.kinds import Kind


class InformerSet:
    """Base of a part's caches: attributes that are informers, each made by `cached`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._informers: list[Informer] = []

    def cached(self, kind: Kind) -> Informer:
        """One more informer, which `run` keeps current."""
        informer = Informer(self._cluster, kind)
        self._informers.append(informer)
        return informer

    async def run(self) -> None:
        """Keeps all caches current until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers:
                tasks.create_task(informer.run())

    async def wait_until_filled(self) -> None:
        """Returns once every cache knows what there is."""
        for informer in self._informers:
            await informer.synced.wait()
