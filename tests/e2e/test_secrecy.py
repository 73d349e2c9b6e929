"""The keys and credentials of the whole session, looked for wherever they must not be."""

import base64
from collections.abc import Iterable

from tests.e2e.world import World

_SECRET_KEY = b'"key":["", "secrets",'
"""How a line about a Secret begins in the API server's journal (after its revision)."""


async def test_secrets_are_in_secrets_only(world: World) -> None:
    """Of all that was put into Secrets, no value is in any other object that ever was, in a log, or in an argument."""
    values = _spellings(world.secrets)
    journal = (world.sandbox.state / "apiserver" / "objects.jsonl").read_bytes().splitlines()
    assert any(_shown(line, values) for line in journal), "the search finds what is there: the Secrets themselves"
    logs = [*world.recorder.logs(), *(world.sandbox.state / "logs").iterdir()]
    for container in ("_controller_", "_worker_"):
        assert any(container in log.name and log.stat().st_size for log in logs), f"no log of {container}"
    arguments = "\n".join(world.recorder.arguments).encode()
    assert b"safehold worker backup" in arguments

    found = [line[:200] for line in journal if _SECRET_KEY not in line[:100] and _shown(line, values)]
    assert found == []
    assert [log.name for log in logs if _shown(log.read_bytes(), values)] == []
    assert not _shown(arguments, values)


def _spellings(secrets: Iterable[str]) -> list[bytes]:
    """Each value as it is and in base64; the part of a repository key that is secret also alone."""
    plain = {part for value in secrets for part in (value, value.rpartition(":")[2])}
    return [spelling for part in plain for spelling in (part.encode(), _base64(part))]


def _base64(text: str) -> bytes:
    """Without the last digits, which depend on what follows."""
    return base64.b64encode(text.encode()).rstrip(b"=")[:-1]


def _shown(text: bytes, values: Iterable[bytes]) -> bool:
    return any(value in text for value in values)
