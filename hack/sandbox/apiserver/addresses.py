"""Where webhooks and aggregated APIs are: behind Services of the type ExternalName, in a cluster without a network.

The real server follows them as well: to the external name, at the port of the reference, under the Service's own name.
"""

import base64
import functools
import ssl
from dataclasses import dataclass

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.store import Store

_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Backend:
    """A URL without a slash at its end, and the name that the server's certificate must be for (None: the URL's)."""

    url: str
    server_name: str | None = None


def backend_of(store: Store, reference: JsonObject) -> Backend | None:
    """What is behind a {namespace, name, port, path} reference; None if no ExternalName Service is there."""
    namespace, name = reference.get("namespace"), reference.get("name") or ""
    service = store.get("", "services", namespace, name)
    host = service["spec"].get("externalName") if service else None
    if not host:
        return None
    url = f"https://{host}:{reference.get('port') or _HTTPS_PORT}{reference.get('path') or ''}"
    return Backend(url.rstrip("/"), f"{name}.{namespace}.svc")


@functools.lru_cache(maxsize=64)
def trust_of(bundle: str | None) -> ssl.SSLContext | bool:
    """What to trust for a server with this caBundle (base64 of PEM); without one, what the machine trusts."""
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode()) if bundle else True
