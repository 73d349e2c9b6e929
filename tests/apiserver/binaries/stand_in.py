"""What stands in for etcd, kube-apiserver and kube-controller-manager: a server at the ports that they are told.

It writes what happens to it, a line each, to the file `events` beside itself. kube-apiserver knows the users of its
token file only, and starts only if its etcd answers; a folder `broken` beside it makes it end at once.
"""

import csv
import json
import os
import signal
import ssl
import sys
import tempfile
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

_PROGRAM = Path(sys.argv[0])
_FLAGS = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])


def note(**event: Any) -> None:
    """Appends to the events."""
    with (_PROGRAM.parent / "events").open("a") as file:
        file.write(json.dumps({"program": _PROGRAM.name, "pid": os.getpid(), **event}) + "\n")


def known_tokens() -> set[str]:
    """The tokens of --token-auth-file; without one nobody is asked for a token."""
    if "token-auth-file" not in _FLAGS:
        return set()
    with Path(_FLAGS["token-auth-file"]).open() as file:
        return {row[0] for row in csv.reader(file)}


class Handler(BaseHTTPRequestHandler):
    """200 for everyone who may ask, 401 for others."""

    def do_GET(self) -> None:
        """Answers with nothing but the status."""
        tokens = known_tokens()
        given = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        self.send_response(200 if not tokens or given in tokens else 401)
        self.send_header("Content-Length", "2")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing to the log."""


def stopped(*_: object) -> NoReturn:
    """SIGTERM."""
    note(event="stopped")
    os._exit(0)


def main() -> None:
    """Serves until SIGTERM."""
    note(event="started", flags=_FLAGS)
    signal.signal(signal.SIGTERM, stopped)
    if (_PROGRAM.parent / "broken").exists() and _PROGRAM.name == "kube-apiserver":
        sys.exit("the stand-in is broken")
    if "etcd-servers" in _FLAGS:
        urllib.request.urlopen(f"{_FLAGS['etcd-servers']}/health").close()  # noqa: S310 (an address of the test's own)
    port = _FLAGS.get("secure-port") or _FLAGS["listen-client-urls"].rpartition(":")[2]
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    if "secure-port" in _FLAGS:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate())
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def certificate() -> tuple[str, str]:
    """The certificate and key that it is told, or ones of its own."""
    if "tls-cert-file" in _FLAGS:
        return _FLAGS["tls-cert-file"], _FLAGS["tls-private-key-file"]
    from sandbox.certificates import serving_files  # noqa: PLC0415 (slow to import, and only the manager needs it)

    files = serving_files(Path(tempfile.mkdtemp()), "own")
    return str(files.certificate), str(files.key)


if __name__ == "__main__":
    main()
