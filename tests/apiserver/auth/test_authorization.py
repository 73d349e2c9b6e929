"""RBAC decisions and their sentences."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.apiserver.auth.authorization import EVERYTHING, Authorizer
from sandbox.apiserver.auth.policy import Action, PolicyRule, uncovered
from sandbox.apiserver.auth.users import ANONYMOUS, UserInfo, with_authenticated
from sandbox.apiserver.statuses import ApiError

ANN = with_authenticated(UserInfo("ann", groups=("team",)))
USER = {"kind": "User", "name": "ann"}


def rule(verbs: str, resources: str = "", group: str = "", **more: Any) -> dict[str, Any]:
    """A rule as a role writes it."""
    found: dict[str, Any] = {"verbs": verbs.split(), **more}
    return {**found, "apiGroups": [group], "resources": resources.split()} if resources else found


@pytest.mark.parametrize(
    ("given_rule", "action", "allowed"),
    [
        (rule("get", "pods"), Action(verb="get", resource="pods"), True),
        (rule("get", "pods"), Action(verb="list", resource="pods"), False),
        (rule("get", "pods"), Action(verb="get", resource="pods", group="x"), False),
        (rule("*", "*", "*"), Action(verb="get", resource="pods", group="x", subresource="log"), True),
        (rule("get", "pods"), Action(verb="get", resource="pods", subresource="log"), False),
        (rule("get", "pods/log"), Action(verb="get", resource="pods", subresource="log"), True),
        (rule("get", "pods/log"), Action(verb="get", resource="pods"), False),
        (rule("get", "*/scale"), Action(verb="get", resource="pods", subresource="scale"), True),
        (rule("get", "*/scale"), Action(verb="get", resource="pods"), False),
        (rule("get", "pods", resourceNames=["a"]), Action(verb="get", resource="pods", name="a"), True),
        (rule("get", "pods", resourceNames=["a"]), Action(verb="get", resource="pods", name="b"), False),
        (rule("list", "pods", resourceNames=["a"]), Action(verb="list", resource="pods"), False),
        (rule("get", nonResourceURLs=["/metrics"]), Action(verb="get", path="/metrics"), True),
        (rule("get", nonResourceURLs=["/debug/*"]), Action(verb="get", path="/debug/x"), True),
        (rule("get", nonResourceURLs=["/debug/*"]), Action(verb="get", path="/metrics"), False),
        (rule("*", "*", "*"), Action(verb="get", path="/metrics"), False),
    ],
)
def test_rules(given_rule: dict[str, Any], action: Action, allowed: bool, cluster: Any, authorizer: Authorizer) -> None:
    """A rule allows its verbs on its resources, subresources, names and paths, and nothing else."""
    cluster.role("r", given_rule)
    cluster.bind("r", USER)
    assert authorizer.allows(ANN, action) == allowed


@pytest.mark.parametrize(
    ("subject", "user", "matches"),
    [
        (USER, ANN, True),
        ({"kind": "User", "name": "bob"}, ANN, False),
        ({"kind": "Group", "name": "team"}, ANN, True),
        ({"kind": "Group", "name": "system:authenticated"}, ANN, True),
        ({"kind": "Group", "name": "system:unauthenticated"}, ANONYMOUS, True),
        ({"kind": "Group", "name": "ann"}, ANN, False),
        (
            {"kind": "ServiceAccount", "name": "robot", "namespace": "a"},
            UserInfo("system:serviceaccount:a:robot"),
            True,
        ),
        (
            {"kind": "ServiceAccount", "name": "robot", "namespace": "a"},
            UserInfo("system:serviceaccount:b:robot"),
            False,
        ),
    ],
)
def test_subjects(
    subject: dict[str, str], user: UserInfo, *, matches: bool, cluster: Any, authorizer: Authorizer
) -> None:
    """A binding reaches the users, groups and service accounts that it names."""
    cluster.role("r", rule("get", "widgets"))
    cluster.bind("r", subject)
    assert authorizer.allows(user, Action(verb="get", resource="widgets")) == matches


def test_namespaces(cluster: Any, authorizer: Authorizer) -> None:
    """A RoleBinding gives rights in its namespace only, also those of a ClusterRole; a Role is its namespace's own."""
    cluster.role("reader", rule("get", "pods"))
    cluster.bind("reader", USER, namespace="a")
    cluster.role("writer", rule("update", "pods"), namespace="b")
    cluster.bind("writer", USER, kind="Role", namespace="b")
    may = [
        (verb, namespace)
        for verb in ("get", "update")
        for namespace in ("", "a", "b")
        if authorizer.allows(ANN, Action(verb=verb, resource="pods", namespace=namespace))
    ]
    assert may == [("get", "a"), ("update", "b")]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            Action(verb="list", resource="pods", namespace="y"),
            'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "y"',
        ),
        (
            Action(verb="get", group="apps", resource="deployments", namespace="y", name="web"),
            (
                'deployments.apps "web" is forbidden: User "ann" cannot get resource "deployments" '
                'in API group "apps" in the namespace "y"'
            ),
        ),
        (
            Action(verb="get", resource="pods", subresource="log", namespace="y", name="web"),
            'pods "web" is forbidden: User "ann" cannot get resource "pods/log" in API group "" in the namespace "y"',
        ),
        (
            Action(verb="create", resource="namespaces"),
            (
                'namespaces is forbidden: User "ann" cannot create resource "namespaces" in API group "" '
                "at the cluster scope"
            ),
        ),
        (Action(verb="get", path="/metrics"), 'forbidden: User "ann" cannot get path "/metrics"'),
    ],
)
def test_sentences(action: Action, message: str, authorizer: Authorizer) -> None:
    """A refusal says who cannot do what where, with the status code 403."""
    with pytest.raises(ApiError) as refused:
        authorizer.require(ANN, action)
    assert (refused.value.code, refused.value.reason, refused.value.message) == (403, "Forbidden", message)


def test_missing_roles_are_named(cluster: Any, authorizer: Authorizer) -> None:
    """A binding to a role that does not exist gives nothing, and the refusal says so."""
    cluster.bind("ghost", USER)
    with pytest.raises(ApiError, match=r'RBAC: clusterrole\.rbac\.authorization\.k8s\.io "ghost" not found$'):
        authorizer.require(ANN, Action(verb="get", resource="pods"))


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("view", Action(verb="list", resource="pods", namespace="a"), True),
        ("view", Action(verb="list", resource="secrets", namespace="a"), False),
        ("view", Action(verb="delete", resource="pods", namespace="a"), False),
        ("edit", Action(verb="list", resource="pods", namespace="a"), True),
        ("edit", Action(verb="get", resource="secrets", namespace="a"), True),
        ("edit", Action(verb="create", group="rbac.authorization.k8s.io", resource="roles", namespace="a"), False),
        ("admin", Action(verb="list", resource="pods", namespace="a"), True),
        ("admin", Action(verb="create", group="rbac.authorization.k8s.io", resource="roles", namespace="a"), True),
        ("cluster-admin", Action(verb="get", path="/anything"), True),
        ("cluster-admin", Action(verb="escalate", group="x", resource="y"), True),
    ],
)
def test_default_roles(role: str, action: Action, allowed: bool, cluster: Any, authorizer: Authorizer) -> None:
    """view, edit and admin contain each other and stop where they should."""
    cluster.bind(role, USER)
    assert authorizer.allows(ANN, action) == allowed


@pytest.mark.parametrize("path", ["/api", "/apis/apps/v1", "/openapi/v3", "/version"])
def test_discovery_is_for_those_who_log_in(path: str, authorizer: Authorizer) -> None:
    """Authenticated users may discover the API; anonymous ones only see health and version."""
    action = Action(verb="get", path=path)
    assert authorizer.allows(ANN, action)
    assert authorizer.allows(ANONYMOUS, action) == (path == "/version")


def test_masters(authorizer: Authorizer) -> None:
    """system:masters may do everything, without any role."""
    assert authorizer.allows(UserInfo("root", groups=("system:masters",)), Action(verb="any", resource="thing"))


def test_aggregation(cluster: Any, authorizer: Authorizer) -> None:
    """A role that carries view's label becomes part of view, edit and admin at once."""
    cluster.bind("admin", USER)
    action = Action(verb="get", group="safehold.dev", resource="vmbackups", namespace="a")
    assert not authorizer.allows(ANN, action)
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    metadata = {"name": "backup-viewer", "labels": label}
    role = {"metadata": metadata, "rules": [rule("get", "vmbackups", "safehold.dev")]}
    cluster.add("rbac.authorization.k8s.io", "clusterroles", role)
    assert authorizer.allows(ANN, action)


_WORDS = st.lists(st.sampled_from(["a", "b", "c"]) | st.just("*"), min_size=1, max_size=2, unique=True).map(tuple)
_RULES = st.lists(
    st.builds(
        PolicyRule,
        verbs=_WORDS,
        groups=_WORDS,
        resources=_WORDS,
        names=st.just(()) | st.sampled_from([("a",), ("a", "b")]),
    ),
    max_size=3,
).map(tuple)
_ACTIONS = st.builds(
    Action, **{part: st.sampled_from(["a", "b", "c", "d"]) for part in ("verb", "group", "resource", "name")}
)


@given(held=_RULES, wanted=_RULES, action=_ACTIONS)
def test_what_is_covered_gives_nothing_new(
    held: tuple[PolicyRule, ...], wanted: tuple[PolicyRule, ...], action: Action
) -> None:
    """If nothing of `wanted` is uncovered, every action that it allows was allowed before."""
    if not uncovered(held, wanted) and any(given_rule.allows(action) for given_rule in wanted):
        assert any(given_rule.allows(action) for given_rule in held)


@given(wanted=_RULES)
def test_all_is_covered_by_itself_and_by_everything(wanted: tuple[PolicyRule, ...]) -> None:
    """Whoever holds rules may give the same rules; cluster-admin may give any."""
    assert uncovered(wanted, wanted) == []
    assert uncovered(EVERYTHING, wanted) == []
