"""Ports of loopback for programs that cannot choose their own."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The ports that the system gives to whoever connects somewhere."""
_FIRST = 10_000


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment.

    They are none of those that connections get: a program that is started again finds its port free again.
    """
    candidates = list(range(_FIRST, _first_of_connections()))
    random.SystemRandom().shuffle(candidates)
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            listener = stack.enter_context(socket.socket())
            with suppress(OSError):
                listener.bind((LOOPBACK, candidates[-1]))
                found.append(candidates[-1])
            candidates.pop()
    return found


def _first_of_connections() -> int:
    """The end of the range to choose from; all ports where the system keeps too few from connections."""
    try:
        first = int(_CONNECTIONS.read_text().split()[0])
    except OSError:
        first = 0
    return first if first > 2 * _FIRST else 1 << 16
