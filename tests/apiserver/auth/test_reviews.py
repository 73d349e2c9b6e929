"""Reviews: questions that come in as objects and go out with their answers."""

from datetime import datetime
from typing import Any

import pytest

from sandbox.apiserver.auth.authentication import Authenticator
from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.reviews import Reviewer
from sandbox.apiserver.auth.tokens import TokenIssuer
from sandbox.apiserver.auth.users import UserInfo, with_authenticated
from sandbox.apiserver.statuses import ApiError

ANN = with_authenticated(UserInfo("ann", uid="7", groups=("team",), extra={"k": ("v",)}))
PODS = {"verb": "get", "resource": "pods", "namespace": "a"}


@pytest.fixture
def reviewer(cluster: Any, authorizer: Authorizer, issuer: TokenIssuer) -> Reviewer:
    """A reviewer on a cluster where ann may view namespace a."""
    cluster.bind("view", {"kind": "User", "name": "ann"}, namespace="a")
    return Reviewer(authorizer, Authenticator({"t0ken": ANN}, issuer))


def test_self_subject_access(reviewer: Reviewer) -> None:
    """The caller is told whether, and by which binding."""
    yes = reviewer.self_subject_access({"spec": {"resourceAttributes": PODS}}, ANN)
    reason = 'RBAC: allowed by RoleBinding "view-ann/a" of ClusterRole "view" to User "ann"'
    assert yes["status"] == {"allowed": True, "reason": reason}
    no = reviewer.self_subject_access({"spec": {"resourceAttributes": {**PODS, "verb": "delete"}}}, ANN)
    assert no["status"] == {"allowed": False}
    path = reviewer.self_subject_access({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/api"}}}, ANN)
    assert path["status"]["allowed"]


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [({"user": "ann"}, True), ({"user": "bob"}, False), ({"user": "bob", "groups": ["system:masters"]}, True)],
)
def test_subject_access(subject: dict[str, Any], allowed: bool, reviewer: Reviewer) -> None:
    """Another's rights, by name and groups."""
    answer = reviewer.subject_access({"spec": {**subject, "resourceAttributes": PODS}})
    assert answer["status"]["allowed"] == allowed


def test_local_subject_access(reviewer: Reviewer) -> None:
    """A local review answers for its own namespace only."""
    spec = {"user": "ann", "resourceAttributes": PODS}
    assert reviewer.local_subject_access({"metadata": {"namespace": "a"}, "spec": spec})["status"]["allowed"]
    with pytest.raises(ApiError, match="must match namespace"):
        reviewer.local_subject_access({"metadata": {"namespace": "b"}, "spec": spec})


def test_self_subject_rules(reviewer: Reviewer) -> None:
    """All rules in a namespace, those on resources and those on paths."""
    status = reviewer.self_subject_rules({"spec": {"namespace": "a"}}, ANN)["status"]
    assert any("pods" in rule["resources"] and "get" in rule["verbs"] for rule in status["resourceRules"])
    assert any("/api" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    assert status["incomplete"] is False


def test_self_subject(reviewer: Reviewer) -> None:
    """The caller sees itself as the server does."""
    info = {"username": "ann", "uid": "7", "groups": ["team", "system:authenticated"], "extra": {"k": ["v"]}}
    assert reviewer.self_subject({}, ANN)["status"] == {"userInfo": info}


def test_token(reviewer: Reviewer, issuer: TokenIssuer, now: datetime) -> None:
    """A TokenReview names the user and the audiences, or what is wrong with the token."""
    token = issuer.issue("a", "robot", {"spec": {"audiences": ["vault"]}}, now)["status"]["token"]
    good = reviewer.token({"spec": {"token": token, "audiences": ["vault"]}}, now)["status"]
    assert (good["authenticated"], good["audiences"]) == (True, ["vault"])
    assert good["user"]["username"] == "system:serviceaccount:a:robot"
    assert reviewer.token({"spec": {"token": "t0ken"}}, now)["status"]["user"]["username"] == "ann"
    bad = reviewer.token({"spec": {"token": token}}, now)["status"]
    assert "authenticated" not in bad
    assert "audiences" in bad["error"]


@pytest.mark.parametrize("spec", [{}, {"resourceAttributes": PODS, "nonResourceAttributes": {"path": "/"}}])
def test_a_review_asks_one_thing(spec: dict[str, Any], reviewer: Reviewer) -> None:
    """A resource or a path, not both and not neither."""
    with pytest.raises(ApiError, match="exactly one of"):
        reviewer.self_subject_access({"spec": spec}, ANN)


def test_a_subject_review_names_somebody(reviewer: Reviewer) -> None:
    """Without user and groups there is nobody to ask about."""
    with pytest.raises(ApiError, match="at least one of user or group"):
        reviewer.subject_access({"spec": {"resourceAttributes": PODS}})
