"""Runs a shell line in a guest through its control port: the tests' and the demo's hands inside the guest."""

import asyncio
import secrets
from pathlib import Path

from sandbox.guest.errors import GuestError

_READ_LIMIT = 16 << 20


async def run_in_guest(socket: Path, command: str, seconds: float = 60.0) -> str:
    """Runs one line of shell in the guest and returns what it printed; GuestError for a status other than 0.

    Never use it for the data disks while they are frozen: the shell would hang in the kernel until the thaw, and the
    port with it.
    """
    if "\n" in command:
        raise ValueError("the control port takes one line: join commands with `;`")
    token = secrets.token_hex(6)
    try:
        async with asyncio.timeout(seconds):
            return await _converse(socket, token, command)
    except TimeoutError as error:
        raise GuestError(f"the guest did not finish `{command}` within {seconds:g} s") from error
    except OSError as error:
        raise GuestError(f"the guest's control port {socket} cannot be reached: {error.strerror}") from error


async def _converse(socket: Path, token: str, command: str) -> str:
    reader, writer = await asyncio.open_unix_connection(socket, limit=_READ_LIMIT)
    try:
        writer.write(f"{token} {command}\n".encode())
        await writer.drain()
        lines: list[str] = []
        begun = False
        while line := (await reader.readline()).decode(errors="replace"):
            if line.startswith(f"END {token} "):
                # The guest puts a line break of its own before END.
                return _checked("".join(lines).removesuffix("\n"), int(line.split()[2]), command)
            if begun:
                lines.append(line)
            # What an earlier client left unread stands before our own BEGIN.
            begun = begun or line.startswith(f"BEGIN {token}")
        raise GuestError(f"the guest ended while it ran `{command}`")
    finally:
        writer.close()


def _checked(output: str, status: int, command: str) -> str:
    if status != 0:
        raise GuestError(f"`{command}` ended with status {status} in the guest: {output.strip()[-500:]}")
    return output
