"""Who may do what in the object store: SeaweedFS's identities file."""

import json
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key and its secret."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def generate(cls) -> "Credentials":
        """New random credentials."""
        return cls("SH" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))

    def profile(self) -> str:
        """An AWS shared credentials file with these as profile `default`."""
        return f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret_key}\n"


class Identities:
    """The identities file. `write` keeps what is there; SeaweedFS reads it at the start and on SIGHUP."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def admin(self) -> Credentials:
        """The identity that may do all; made when it is asked for first, the same after a restart."""
        return self.write("admin", ["Admin"], fresh=False)

    def write(self, name: str, actions: list[str], *, fresh: bool = True) -> Credentials:
        """Give the identity these actions, such as `Read:BUCKET`; returns its new credentials."""
        with self._lock:
            identities = self._read()
            if not fresh and name in identities:
                kept = identities[name]["credentials"][0]
                return Credentials(kept["accessKey"], kept["secretKey"])
            credentials = Credentials.generate()
            identities[name] = {
                "name": name,
                "credentials": [{"accessKey": credentials.access_key, "secretKey": credentials.secret_key}],
                "actions": actions,
            }
            self.path.touch(mode=0o600)
            self.path.write_text(json.dumps({"identities": list(identities.values())}, indent=2))
            return credentials

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        return {identity["name"]: identity for identity in json.loads(self.path.read_text())["identities"]}
