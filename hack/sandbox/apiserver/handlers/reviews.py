"""Reviews and token requests: questions to auth, which store nothing."""

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.intake import read_object
from sandbox.apiserver.objects import JsonObject

_REVIEWS = frozenset(
    {
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "subjectaccessreviews",
        "localsubjectaccessreviews",
        "tokenreviews",
        "selfsubjectreviews",
    }
)


def is_review(call: Call) -> bool:
    """The call asks auth something."""
    return call.info.group in ("authorization.k8s.io", "authentication.k8s.io") and call.info.resource in _REVIEWS


async def create_review(call: Call) -> web.Response:
    """Answer a review."""
    resource, version = call.target()
    review = read_object(call.write_request(resource, version), await call.body())
    return call.respond(_answer(call, resource.kind, review), 201)


def _answer(call: Call, kind: str, review: JsonObject) -> JsonObject:
    reviewer = call.plane.reviewer
    match kind:
        case "SelfSubjectAccessReview":
            return reviewer.self_subject_access(review, call.user)
        case "SubjectAccessReview":
            return reviewer.subject_access(review)
        case "LocalSubjectAccessReview":
            review["metadata"].setdefault("namespace", call.info.namespace)
            return reviewer.local_subject_access(review)
        case "SelfSubjectRulesReview":
            return reviewer.self_subject_rules(review, call.user)
        case "SelfSubjectReview":
            return reviewer.self_subject(review, call.user)
        case _:
            return reviewer.token(review, call.now)


async def create_token(call: Call) -> web.Response:
    """TokenRequest: POST to a service account's token subresource."""
    body = await call.body()
    if not isinstance(body, dict):
        raise statuses.bad_request("the body must be a TokenRequest")
    issued = call.plane.tokens.issue(call.info.namespace, call.info.name, body, call.now)
    return call.respond(issued, 201)
