"""The audit log: one JSON line per request, to be compared with what roles allow."""

import json
from pathlib import Path
from typing import IO

from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.requests import RequestInfo


class AuditLog:
    """Appends to DIR/audit.jsonl. Never contains bodies, so no secret gets into it."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", buffering=1)

    def record(self, user: UserInfo | None, info: RequestInfo, code: int) -> None:
        """Write the line of a request that was answered, or of a watch that was opened."""
        entry = {
            "user": user.name if user else "",
            "verb": info.verb,
            "group": info.group,
            "resource": info.resource or info.path,
            "subresource": info.subresource,
            "namespace": info.namespace,
            "name": info.name,
            "code": code,
        }
        self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Write no more."""
        self._file.close()
