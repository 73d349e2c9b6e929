"""Where Services are, in a cluster without a network: the URL in an annotation of the Service."""

import base64
import ssl

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.store import Store

URL_ANNOTATION = "sandbox.safehold.dev/url"
"""On a Service or APIService: where its requests go."""


def service_url(store: Store, reference: JsonObject) -> str | None:
    """The URL behind a {namespace, name, path} reference, or None if the Service or its annotation is missing."""
    service = store.get("", "services", reference.get("namespace"), reference.get("name") or "")
    url = annotated_url(service) if service else None
    return url + (reference.get("path") or "") if url else None


def annotated_url(item: JsonObject) -> str | None:
    """The URL that an object is annotated with, without a slash at its end."""
    url = (item.get("metadata", {}).get("annotations") or {}).get(URL_ANNOTATION)
    return str(url).rstrip("/") if url else None


def trust_of(bundle: str | None) -> ssl.SSLContext | bool:
    """What to trust for a server with this caBundle (base64 of PEM); without one, what the machine trusts."""
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode()) if bundle else True
