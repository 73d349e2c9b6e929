"""Whether the controller still reaches the cluster, and its end when it does not."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable

from safehold.kube.client import Cluster
from safehold.kube.kinds import NAMESPACE

logger = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Heartbeat:
    """Ends the process when nothing has reached the cluster for too long, so that Kubernetes starts it anew.

    Kopf's own liveness endpoint answers as long as its health task runs, whatever became of the watches.
    """

    timeout_seconds: float
    on_beat: Callable[[], None] = lambda: None
    """Called with each beat, such as to tell others of it."""
    interval_seconds: float = 15.0
    """Between two questions to the cluster."""
    last: float = dataclasses.field(default_factory=time.monotonic)

    def beat(self) -> None:
        """Something worked."""
        self.last = time.monotonic()
        self.on_beat()

    async def watch(self, cluster: Cluster) -> None:
        """Ask the cluster something small now and then; end the process when all has been silent for too long."""
        while True:
            await asyncio.sleep(self.interval_seconds)
            with contextlib.suppress(Exception):
                await cluster.get(NAMESPACE, "kube-system")
                self.beat()
            if time.monotonic() - self.last > self.timeout_seconds:
                logger.critical("no answer from the cluster for %.0f s: ends, to be started anew", self.timeout_seconds)
                os.kill(os.getpid(), signal.SIGTERM)
                return
