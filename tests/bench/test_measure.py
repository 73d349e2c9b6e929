"""What the bench takes of a program's run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.disk import MIB
from bench.measure import BenchError, Command, measure, run


def python(program: str, **given: str) -> Command:
    """A Python program of one line."""
    return Command(arguments=[sys.executable, "-I", "-S", "-c", program], environment=given)


def test_memory_and_time_are_the_programs_own() -> None:
    """A small program is small, although the bench is not; one that holds 150 MiB and computes is told so."""
    small = measure(python("pass"), os.getpid())
    large = measure(python(f"held = b'x' * {150 * MIB}\nsum(range(3_000_000))"), os.getpid())
    assert small.peak_bytes < 20 * MIB
    assert 150 * MIB < large.peak_bytes < 170 * MIB
    assert large.cpu_seconds > small.cpu_seconds > 0
    assert large.seconds >= large.cpu_seconds / 2


def test_children_count_for_the_program() -> None:
    """Work that a program leaves to others is its work."""
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(20_000_000))'])"
    alone = measure(python("sum(range(20_000_000))"), os.getpid())
    assert measure(python(program), os.getpid()).cpu_seconds > alone.cpu_seconds / 2


def test_the_servers_share_is_counted() -> None:
    """A process that is busy meanwhile, given as the server, has its CPU seconds told apart."""
    server = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        usage = measure(python("sum(range(30_000_000))"), server.pid)
    finally:
        server.kill()
        server.wait()
    assert usage.server_cpu_seconds > 0


def test_a_program_sees_what_it_is_given_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder, standard input and environment; not the settings of whoever runs the bench."""
    monkeypatch.setenv("RESTIC_COMPRESSION", "max")
    given = tmp_path / "stdin"
    given.write_text("input")
    program = (
        "import os, sys; print(os.getcwd(), sys.stdin.read(), os.environ.get('RESTIC_COMPRESSION'), os.environ['A'])"
    )
    command = Command(arguments=[sys.executable, "-c", program], environment={"A": "b"}, folder=tmp_path, stdin=given)
    assert run(command).split() == [str(tmp_path), "input", "None", "b"]


def test_a_program_that_fails_ends_the_bench() -> None:
    """With its exit code and its last words: a figure of a failed run would be worse than none."""
    with pytest.raises(BenchError, match="exited 3: the reason"):
        measure(python("import sys; print('the reason', file=sys.stderr); sys.exit(3)"), os.getpid())
