"""What was asked of the API server, from its audit log."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

Request = tuple[str, str]
"""Verb, and resource with its subresource."""


@dataclass(slots=True)
class RequestLog:
    """One user's requests, counted from where the last look ended."""

    path: Path
    user: str
    _offset: int = 0
    total: Counter[Request] = field(default_factory=Counter)

    def since_last(self) -> Counter[Request]:
        """What came since the last call."""
        found: Counter[Request] = Counter()
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                entry = json.loads(line)
                if entry["user"] == self.user:
                    found[entry["verb"], "/".join(filter(None, (entry["resource"], entry["subresource"])))] += 1
        self.total += found
        return found
