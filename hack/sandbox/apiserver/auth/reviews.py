"""Reviews: questions about who one is and what one may do. An object comes in and goes out with its status."""

from datetime import datetime

from sandbox.apiserver.auth.authentication import Authenticator
from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.jwt import TokenError
from sandbox.apiserver.auth.policy import Action
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.objects import JsonObject, namespace_of
from sandbox.apiserver.statuses import bad_request


class Reviewer:
    """Answers the reviews of authorization.k8s.io and authentication.k8s.io."""

    def __init__(self, authorizer: Authorizer, authenticator: Authenticator) -> None:
        self._authorizer = authorizer
        self._authenticator = authenticator

    def self_subject_access(self, review: JsonObject, user: UserInfo) -> JsonObject:
        """SelfSubjectAccessReview: whether the caller may do it."""
        return self._answered(review, user)

    def subject_access(self, review: JsonObject) -> JsonObject:
        """SubjectAccessReview: whether another may do it, anywhere."""
        return self._answered(review, _reviewed_user(review))

    def local_subject_access(self, review: JsonObject) -> JsonObject:
        """LocalSubjectAccessReview: whether another may do it in the namespace of the review."""
        asked = (review["spec"].get("resourceAttributes") or {}).get("namespace", "")
        if asked != namespace_of(review):
            raise bad_request(
                "spec.resourceAttributes.namespace must match namespace: "
                f"{asked!r} is not {namespace_of(review)!r}; ask a SubjectAccessReview instead"
            )
        return self._answered(review, _reviewed_user(review))

    def self_subject_rules(self, review: JsonObject, user: UserInfo) -> JsonObject:
        """SelfSubjectRulesReview: all that the caller may do in a namespace."""
        namespace = review["spec"].get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = [rule.document() for rule in self._authorizer.rules(user, namespace)]
        status = {
            "resourceRules": [rule for rule in rules if "resources" in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }
        return {**review, "status": status}

    def self_subject(self, review: JsonObject, user: UserInfo) -> JsonObject:
        """SelfSubjectReview: who the caller is."""
        return {**review, "status": {"userInfo": user.document()}}

    def token(self, review: JsonObject, now: datetime) -> JsonObject:
        """TokenReview: whose token it is."""
        spec = review.get("spec") or {}
        try:
            verified = self._authenticator.identify(spec.get("token", ""), now, tuple(spec.get("audiences") or ()))
        except TokenError as error:
            return {**review, "status": {"user": {}, "error": str(error)}}
        status: JsonObject = {"authenticated": True, "user": verified.user.document()}
        if verified.audiences:
            status["audiences"] = list(verified.audiences)
        return {**review, "status": status}

    def _answered(self, review: JsonObject, user: UserInfo) -> JsonObject:
        decision = self._authorizer.decide(user, _reviewed_action(review["spec"]))
        status: JsonObject = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {**review, "status": status}


def _reviewed_user(review: JsonObject) -> UserInfo:
    spec = review["spec"]
    if not spec.get("user") and not spec.get("groups"):
        raise bad_request("spec.user: Required value: at least one of user or group must be specified")
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _reviewed_action(spec: JsonObject) -> Action:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) == (path is None):
        raise bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")
    if path is not None:
        return Action(verb=path.get("verb", ""), path=path.get("path", ""))
    assert asked is not None
    parts = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Action(**{part: asked.get(part) or "" for part in parts})
