"""From an HTTP request to an answer: who asks, may they, and which handler it is."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.aggregation import Aggregator
from sandbox.apiserver.audit import AuditLog
from sandbox.apiserver.auth.impersonation import impersonated
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.calls import Call
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.handlers import commands, lists, pods, reviews, scales, watches, writes
from sandbox.apiserver.handlers.information import Information
from sandbox.apiserver.requests import RequestInfo, parse_request

BODY_LIMIT_BYTES = 3 << 20
"""The real server's limit of a request body."""

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Application:
    """The server as one aiohttp handler over a control plane."""

    def __init__(self, plane: ControlPlane, aggregator: Aggregator, audit: AuditLog) -> None:
        self._plane = plane
        self._aggregator = aggregator
        self._audit = audit
        self._continuations = lists.Continuations()
        self._information = Information(plane, aggregator)
        self._verbs: dict[str, Handler] = {
            "get": self._get,
            "list": self._list,
            "watch": watches.watch_objects,
            "create": writes.create_object,
            "update": writes.replace_object,
            "patch": writes.patch_object,
            "delete": writes.delete_object,
            "deletecollection": writes.delete_collection,
        }
        self._subresources: dict[tuple[str, str], Handler] = {
            ("serviceaccounts", "token"): reviews.create_token,
            ("pods", "log"): pods.read_log,
            ("pods", "exec"): commands.execute,
            ("pods", "binding"): pods.bind,
        }

        self._scales: dict[str, Handler] = {
            "get": scales.read_scale,
            "update": scales.replace_scale,
            "patch": scales.patch_scale,
        }

    def web_application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=BODY_LIMIT_BYTES)
        application.router.add_route("*", "/{path:.*}", self._serve)
        return application

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        info = parse_request(http.method, http.path, http.query)
        user: UserInfo | None = None
        code = 500
        try:
            user = self._user(http)
            call = Call(plane=self._plane, http=http, info=info, now=self._plane.now(), user=user)
            if info.verb == "watch":
                # A watch is answered when it ends; the log tells of it when it begins.
                self._authorize(call)
                self._audit.record(user, info, 200)
            response = await self._answer(call)
            code = response.status
        except statuses.ApiError as error:
            code = error.code
            response = web.json_response(error.status(), status=error.code)
        except web.HTTPRequestEntityTooLarge:
            too_large = statuses.ApiError(413, "RequestEntityTooLarge", f"limit is {BODY_LIMIT_BYTES}")
            code = too_large.code
            response = web.json_response(too_large.status(), status=code)
        finally:
            if info.verb != "watch" or code >= 400:
                self._audit.record(user, info, code)
        return response

    def _user(self, http: web.Request) -> UserInfo:
        caller = self._plane.authenticator.authenticate(http.headers.get("Authorization"), self._plane.now())
        return impersonated(caller, http.headers.items(), self._plane.authorizer)

    def _authorize(self, call: Call) -> None:
        self._plane.authorizer.require(call.user, call.info.action())

    async def _answer(self, call: Call) -> web.StreamResponse:
        self._authorize(call)
        info = call.info
        if not info.is_resource:
            return await self._information.answer(call)
        if self._aggregator.is_aggregated(info.group, info.version):
            return await self._aggregator.proxy(call)
        resource, _ = call.target()
        if reviews.is_review(call):
            return await reviews.create_review(call)
        if info.subresource:
            return await self._subresource(call, info)
        if info.verb not in resource.verbs:
            raise statuses.method_not_supported(resource.group, resource.plural, info.verb)
        return await self._verbs[info.verb](call)

    async def _subresource(self, call: Call, info: RequestInfo) -> web.StreamResponse:
        resource, _ = call.target()
        verbs = resource.subresources.get(info.subresource)
        if verbs is None or info.rest:
            raise statuses.no_such_resource()
        if info.verb not in verbs:
            raise statuses.method_not_supported(resource.group, resource.plural, info.verb)
        if info.subresource == "scale":
            return await self._scales[info.verb](call)
        handler = self._subresources.get((info.resource, info.subresource)) if not info.group else None
        return await (handler or self._verbs[info.verb])(call)

    async def _get(self, call: Call) -> web.StreamResponse:
        return lists.get_object(call)

    async def _list(self, call: Call) -> web.StreamResponse:
        return lists.list_objects(call, self._continuations)
