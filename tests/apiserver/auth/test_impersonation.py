"""Acting as somebody else."""

from typing import Any

import pytest

from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.impersonation import impersonated
from sandbox.apiserver.auth.users import UserInfo, with_authenticated
from sandbox.apiserver.statuses import ApiError

ROOT = UserInfo("root", groups=("system:masters", "system:authenticated"))
ANN = with_authenticated(UserInfo("ann"))
Headers = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], ROOT),
        ([("Impersonate-User", "bob")], UserInfo("bob", groups=("system:authenticated",))),
        (
            [("impersonate-user", "bob"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
            UserInfo("bob", groups=("a", "b", "system:authenticated")),
        ),
        (
            [("Impersonate-User", "bob"), ("Impersonate-Uid", "7"), ("Impersonate-Extra-Team%2fname", "x")],
            UserInfo("bob", "7", ("system:authenticated",), {"team/name": ("x",)}),
        ),
        (
            [("Impersonate-User", "system:serviceaccount:a:robot")],
            UserInfo(
                "system:serviceaccount:a:robot",
                groups=("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"),
            ),
        ),
        (
            [("Impersonate-User", "system:anonymous")],
            UserInfo("system:anonymous", groups=("system:unauthenticated",)),
        ),
    ],
)
def test_who_one_becomes(headers: Headers, expected: UserInfo, authorizer: Authorizer) -> None:
    """The headers make the user, and the groups that follow from the name."""
    assert impersonated(ROOT, headers, authorizer) == expected


@pytest.mark.parametrize(
    ("headers", "missing"),
    [
        ([("Impersonate-User", "bob")], 'cannot impersonate resource "users"'),
        (
            [("Impersonate-User", "system:serviceaccount:b:robot")],
            'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "b"',
        ),
        (
            [("Impersonate-User", "system:serviceaccount:a:robot"), ("Impersonate-Group", "system:masters")],
            'groups "system:masters" is forbidden: User "ann" cannot impersonate resource "groups"',
        ),
        (
            [("Impersonate-User", "system:serviceaccount:a:robot"), ("Impersonate-Uid", "7")],
            'resource "uids" in API group "authentication.k8s.io"',
        ),
        (
            [("Impersonate-User", "system:serviceaccount:a:robot"), ("Impersonate-Extra-Scopes", "x")],
            'resource "userextras/scopes" in API group "authentication.k8s.io"',
        ),
    ],
)
def test_who_may_not(headers: Headers, missing: str, cluster: Any, authorizer: Authorizer) -> None:
    """Each thing that is named needs its own right; an editor may act as the accounts of the namespace only."""
    cluster.bind("edit", {"kind": "User", "name": "ann"}, namespace="a")
    with pytest.raises(ApiError) as refused:
        impersonated(ANN, headers, authorizer)
    assert refused.value.code == 403
    assert missing in refused.value.message


def test_an_editor_may_act_as_the_namespaces_accounts(cluster: Any, authorizer: Authorizer) -> None:
    """The right to impersonate service accounts in a namespace is enough for them."""
    cluster.bind("edit", {"kind": "User", "name": "ann"}, namespace="a")
    user = impersonated(ANN, [("Impersonate-User", "system:serviceaccount:a:robot")], authorizer)
    assert user.name == "system:serviceaccount:a:robot"


def test_groups_without_a_user(authorizer: Authorizer) -> None:
    """Groups alone make nobody."""
    with pytest.raises(ApiError, match="without impersonating a user"):
        impersonated(ROOT, [("Impersonate-Group", "a")], authorizer)
