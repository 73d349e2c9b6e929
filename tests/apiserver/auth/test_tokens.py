"""Service account tokens: who gets them, what is in them, and when they end."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.apiserver.auth.authentication import Authenticator
from sandbox.apiserver.auth.jwt import TokenError
from sandbox.apiserver.auth.tokens import TokenIssuer
from sandbox.apiserver.auth.users import ANONYMOUS, UserInfo
from sandbox.apiserver.statuses import ApiError

POD = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "pod-1"}
HOUR = timedelta(hours=1)


def token_of(issuer: TokenIssuer, now: datetime, **spec: Any) -> str:
    """A token of the service account a/robot."""
    answer = issuer.issue("a", "robot", {"spec": spec}, now)
    return str(answer["status"]["token"])


def decoded(part: str) -> Any:
    """The JSON of a token's part."""
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def test_a_token_and_its_user(issuer: TokenIssuer, now: datetime) -> None:
    """A TokenRequest comes back with a token, by which the account is known with its uid and groups."""
    answer = issuer.issue("a", "robot", {"spec": {"expirationSeconds": 600}}, now)
    assert answer["status"]["expirationTimestamp"] == "2026-11-22T12:10:00Z"
    user = Authenticator({}, issuer).authenticate(f"Bearer {answer['status']['token']}", now)
    assert (user.name, user.uid) == ("system:serviceaccount:a:robot", "robot-1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")


def test_claims(issuer: TokenIssuer, now: datetime) -> None:
    """The claims are those of a real cluster's tokens."""
    claims = decoded(token_of(issuer, now, audiences=["vault"], boundObjectRef=POD).split(".")[1])
    assert claims["jti"]
    assert {key: claims[key] for key in claims if key != "jti"} == {
        "aud": ["vault"],
        "exp": int(now.timestamp()) + 3600,
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "iss": "https://cluster.test",
        "sub": "system:serviceaccount:a:robot",
        "kubernetes.io": {
            "namespace": "a",
            "serviceaccount": {"name": "robot", "uid": "robot-1"},
            "pod": {"name": "p", "uid": "pod-1"},
            "node": {"name": "n1"},
        },
    }


def test_a_bound_token_tells_its_pod(issuer: TokenIssuer, now: datetime) -> None:
    """The pod and node of a token are extra facts of its user."""
    extra = issuer.verify(token_of(issuer, now, boundObjectRef=POD), now).user.extra
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/node-name"] == ("n1",)


def test_others_can_verify_by_the_key_set(issuer: TokenIssuer, now: datetime) -> None:
    """The published key, and nothing secret, is enough to check a signature."""
    header, payload, signature = token_of(issuer, now).split(".")
    (key,) = issuer.key_set()["keys"]
    assert decoded(header) == {"alg": "RS256", "kid": key["kid"]}
    assert issuer.discovery()["jwks_uri"] == "https://cluster.test/openid/v1/jwks"
    modulus, exponent = (int.from_bytes(base64.urlsafe_b64decode(key[part] + "==")) for part in "ne")
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    public.verify(
        base64.urlsafe_b64decode(signature + "=="), f"{header}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_the_end_of_a_token(issuer: TokenIssuer, now: datetime) -> None:
    """A token is good until its time, and not from then on."""
    token = token_of(issuer, now)
    issuer.verify(token, now + HOUR - timedelta(seconds=1))
    with pytest.raises(TokenError, match="expired"):
        issuer.verify(token, now + HOUR)
    with pytest.raises(TokenError, match="not valid yet"):
        issuer.verify(token, now - HOUR)


@pytest.mark.parametrize(
    ("reference", "gone"),
    [
        (None, ("serviceaccounts", "robot")),
        (POD, ("serviceaccounts", "robot")),
        (POD, ("pods", "p")),
        ({"kind": "Secret", "name": "s"}, ("secrets", "s")),
    ],
)
def test_a_token_ends_with_its_objects(
    reference: Any, gone: tuple[str, str], cluster: Any, issuer: TokenIssuer, now: datetime
) -> None:
    """A token dies with its account, pod or secret, and one of the same name does not revive it."""
    token = token_of(issuer, now, boundObjectRef=reference)
    issuer.verify(token, now)
    plural, name = gone
    cluster.remove("", plural, "a", name)
    with pytest.raises(TokenError, match="does not exist any more"):
        issuer.verify(token, now)
    cluster.add("", plural, {"metadata": {"name": name, "namespace": "a", "uid": "another"}})
    with pytest.raises(TokenError, match="does not exist any more"):
        issuer.verify(token, now)


def test_audiences(issuer: TokenIssuer, now: datetime) -> None:
    """A token for one service is no good at the API server, nor at another service."""
    token = token_of(issuer, now, audiences=["csi-driver"])
    assert issuer.verify(token, now, ("csi-driver", "other")).audiences == ("csi-driver",)
    for audiences in ((), ("other",)):
        with pytest.raises(TokenError, match="audiences"):
            issuer.verify(token, now, audiences)


@pytest.mark.parametrize("damage", ["", "x", "a.b", "a.b.c", "{}.{}.{}"])
def test_what_is_no_token(damage: str, issuer: TokenIssuer, now: datetime) -> None:
    """Anything else than a signed token is refused."""
    with pytest.raises(TokenError):
        issuer.verify(damage, now)


def test_forged_tokens(cluster: Any, issuer: TokenIssuer, now: datetime) -> None:
    """Another key's token, changed claims, and the algorithm `none` are refused."""
    stranger = TokenIssuer("https://cluster.test", cluster)
    header, payload, signature = token_of(issuer, now).split(".")
    claims = {**decoded(payload), "sub": "system:serviceaccount:kube-system:admin"}
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    forged = [token_of(stranger, now), f"{header}.{changed}.{signature}", f"{unsigned}.{payload}."]
    for token in forged:
        with pytest.raises(TokenError):
            issuer.verify(token, now)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "Pod", "name": "ghost"}}, 404, 'pods "ghost" not found'),
        ({"boundObjectRef": {**POD, "uid": "other"}}, 409, "does not match the UID in record"),
        ({"boundObjectRef": {"kind": "ConfigMap", "name": "c"}}, 400, "cannot bind token to object of kind"),
    ],
)
def test_bad_requests(spec: dict[str, Any], code: int, message: str, issuer: TokenIssuer, now: datetime) -> None:
    """A TokenRequest that cannot be fulfilled says why."""
    with pytest.raises(ApiError) as refused:
        token_of(issuer, now, **spec)
    assert refused.value.code == code
    assert message in refused.value.message


def test_another_accounts_pod(cluster: Any, issuer: TokenIssuer, now: datetime) -> None:
    """A token cannot be bound to a pod that runs as somebody else."""
    cluster.add("", "serviceaccounts", {"metadata": {"name": "other", "namespace": "a", "uid": "o"}})
    with pytest.raises(ApiError, match="different serviceaccount name"):
        issuer.issue("a", "other", {"spec": {"boundObjectRef": POD}}, now)
    with pytest.raises(ApiError, match='serviceaccounts "ghost" not found'):
        issuer.issue("a", "ghost", {"spec": {}}, now)


def test_fixed_tokens_and_none(issuer: TokenIssuer, now: datetime) -> None:
    """Fixed tokens stand for their users, no token for nobody, and an unknown one is refused with 401."""
    authenticator = Authenticator({"t0ken": UserInfo("ann", groups=("team",))}, issuer)
    assert authenticator.authenticate("Bearer t0ken", now).groups == ("team", "system:authenticated")
    assert authenticator.authenticate(None, now) == ANONYMOUS
    with pytest.raises(ApiError) as refused:
        authenticator.authenticate("Bearer wrong", now)
    assert (refused.value.code, refused.value.message) == (401, "Unauthorized")
