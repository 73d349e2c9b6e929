"""Ports for programs that are told theirs."""

import socket
from pathlib import Path

import pytest

from sandbox.ports import LOOPBACK, free_ports


def test_ports_are_free_and_different() -> None:
    """Each can be listened on, all at once."""
    listeners = [socket.create_server((LOOPBACK, port)) for port in free_ports(20)]
    assert len({listener.getsockname()[1] for listener in listeners}) == 20
    for listener in listeners:
        listener.close()


def test_no_connection_gets_such_a_port() -> None:
    """A program that is started again finds its port free, however many connections were made meanwhile."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if first <= 20_000:
        pytest.skip("this machine gives nearly all ports to connections")
    assert [port for port in free_ports(50) if first <= port <= last] == []
