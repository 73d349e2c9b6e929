"""Service account tokens: issued by TokenRequest, signed RS256, bound to objects, verified on every use."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.apiserver.auth.jwt import SigningKey, TokenError, new_private_key
from sandbox.apiserver.auth.objects import Objects
from sandbox.apiserver.auth.users import UserInfo, service_account_groups, service_account_name
from sandbox.apiserver.objects import JsonObject, format_time
from sandbox.apiserver.schema import ErrorKind, FieldError
from sandbox.apiserver.statuses import bad_request, conflict, invalid, not_found

_SHORTEST: Final = 600
_LONGEST: Final = 1 << 32
_DEFAULT_SECONDS: Final = 3600
_BINDABLE: Final = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_CLAIM: Final = "kubernetes.io"
_EXTRA: Final = "authentication.kubernetes.io"


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Whom a token stands for, and which of the wanted audiences it is for."""

    user: UserInfo
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Issues and verifies the tokens of one cluster."""

    issuer: str
    """The URL under which the discovery documents are served."""
    objects: Objects
    private_key: rsa.RSAPrivateKey = field(default_factory=new_private_key)

    def issue(self, namespace: str, name: str, request: JsonObject, now: datetime) -> JsonObject:
        """Answer a TokenRequest for a service account: the same object with its status filled in."""
        account = self.objects.get("", "serviceaccounts", namespace, name)
        if account is None:
            raise not_found("", "serviceaccounts", name)
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _DEFAULT_SECONDS
        _check_seconds(seconds)
        audiences = list(spec.get("audiences") or [self.issuer])
        claims = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
            **self._bound_claims(namespace, name, spec.get("boundObjectRef")),
        }
        expires = now.replace(microsecond=0) + timedelta(seconds=seconds)
        token = self._key.sign(
            {
                "aud": audiences,
                "exp": int(expires.timestamp()),
                "iat": int(now.timestamp()),
                "iss": self.issuer,
                "jti": str(uuid.uuid4()),
                _CLAIM: claims,
                "nbf": int(now.timestamp()),
                "sub": service_account_name(namespace, name),
            }
        )
        return {
            **request,
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {**(request.get("metadata") or {}), "name": name, "namespace": namespace},
            "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": format_time(expires)},
        }

    def _bound_claims(self, namespace: str, account: str, reference: JsonObject | None) -> JsonObject:
        """The object that the token lives and dies with."""
        if not reference:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        if kind not in _BINDABLE:
            raise bad_request(f"cannot bind token to object of kind {kind!r}: must be one of {', '.join(_BINDABLE)}")
        plural = _BINDABLE[kind]
        bound = self.objects.get("", plural, None if kind == "Node" else namespace, name)
        if bound is None:
            raise not_found("", plural, name)
        if kind == "Pod" and bound["spec"].get("serviceAccountName", "default") != account:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        uid = bound["metadata"]["uid"]
        if reference.get("uid") not in (None, "", uid):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            raise conflict("", plural, name, f"{why} The object might have been deleted and then recreated")
        claims: JsonObject = {kind.lower(): {"name": name, "uid": uid}}
        if kind == "Pod" and (node := bound["spec"].get("nodeName")):
            claims["node"] = {"name": node}
        return claims

    def verify(self, token: str, now: datetime, audiences: tuple[str, ...] = ()) -> VerifiedToken:
        """Whom a token stands for; TokenError if it is not ours, not for us, expired, or its objects are gone."""
        claims = self._key.claims(token)
        if claims.get("iss") != self.issuer:
            raise TokenError("the token has another issuer")
        wanted = audiences or (self.issuer,)
        common = tuple(audience for audience in wanted if audience in claims["aud"])
        if not common:
            raise TokenError(f"token audiences {claims['aud']} is invalid for the target audiences {list(wanted)}")
        if now.timestamp() >= claims["exp"]:
            raise TokenError("service account token has expired")
        if now.timestamp() < claims["nbf"]:
            raise TokenError("service account token is not valid yet")
        return VerifiedToken(self._user(claims), common)

    def _user(self, claims: JsonObject) -> UserInfo:
        ours = claims[_CLAIM]
        namespace, account = ours["namespace"], ours["serviceaccount"]
        self._check_alive("serviceaccounts", namespace, account)
        extra = {f"{_EXTRA}/credential-id": (f"JTI={claims['jti']}",)}
        for kind, plural in _BINDABLE.items():
            bound = ours.get(kind.lower())
            if bound and "uid" in bound:
                self._check_alive(plural, None if kind == "Node" else namespace, bound)
            if bound and kind != "Secret":
                extra |= {f"{_EXTRA}/{kind.lower()}-{part}": (text,) for part, text in bound.items()}
        name = service_account_name(namespace, account["name"])
        return UserInfo(name, account["uid"], service_account_groups(namespace), extra)

    def _check_alive(self, plural: str, namespace: str | None, reference: JsonObject) -> None:
        """A token ends with the objects that it names: another object of the same name is another uid."""
        found = self.objects.get("", plural, namespace, reference["name"])
        if found is None or found["metadata"].get("uid") != reference["uid"]:
            raise TokenError(f"{plural} {reference['name']!r} of the token does not exist any more")

    @property
    def _key(self) -> SigningKey:
        return SigningKey(self.private_key)

    def key_set(self) -> JsonObject:
        """The document of /openid/v1/jwks."""
        return self._key.key_set()

    def discovery(self) -> JsonObject:
        """The document of /.well-known/openid-configuration."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def _check_seconds(seconds: int) -> None:
    path = "spec.expirationSeconds"
    if seconds < _SHORTEST:
        detail = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST:
        detail = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    error = FieldError(path, ErrorKind.INVALID, seconds, detail)
    raise invalid("authentication.k8s.io", "TokenRequest", "", [error])
