"""The Open Inference Protocol over gRPC: the routes of ``/v2`` under another wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import msgspec
from google.protobuf.message import DecodeError

import trimtab
from trimtab.config import ServeConfig
from trimtab.errors import InvalidRequest, NotFound, TrimtabError, Unavailable
from trimtab.protocols import LiveModel
from trimtab.serve.body import too_large
from trimtab.serve.control import authorize
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.decoding import misshapen
from trimtab.serve.refusals import Count
from trimtab.serve.reply import Reply
from trimtab.serve.rpc.heads import Head, Heads, Sent
from trimtab.serve.rpc.messages import SERVICE, message, methods
from trimtab.serve.rpc.tensors import answer_of, asked_of, parameters
from trimtab.serve.status import status_of
from trimtab.serve.v2.reply import told_of
from trimtab.serve.v2.repository import Repository, RepositoryParameters
from trimtab.serve.v2.routes import EXTENSIONS, live_version, metadata
from trimtab.serve.wire import deadline_header
from trimtab.types import Scalar

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.UNAVAILABLE,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
Method = Callable[[Any, Any], Awaitable[Any]]
SLACK = 2
"""A message of up to so many times what is taken is refused by us, with our words; above it gRPC ends the call."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service's methods by their names.

    Args:
        data_plane: Answers and counts.
        repository: Index, load and unload.
        live: A live model by its name; raises NotFound.
        ready: Whether this worker may take traffic.
        max_rows: Of one request.
        heads: What infer requests have in common.
    """

    data_plane: DataPlane
    repository: Repository
    live: Callable[[str], LiveModel]
    ready: Callable[[], bool]
    max_rows: int
    heads: Heads = field(default_factory=Heads)

    async def server_live(self, _: Any, __: Any) -> Any:
        """Whether the process answers."""
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, _: Any, __: Any) -> Any:
        """Whether this worker may take traffic."""
        return message("ServerReadyResponse")(ready=self.ready())

    async def model_ready(self, sent: Any, _: Any) -> Any:
        """Whether a model, or a version of it, may be asked."""
        try:
            live_version(self.live(sent.name), sent.version)
        except (NotFound, Unavailable):
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=True)

    async def server_metadata(self, _: Any, __: Any) -> Any:
        """What this server is."""
        return message("ServerMetadataResponse")(
            name="trimtab", version=trimtab.__version__, extensions=EXTENSIONS
        )

    async def model_metadata(self, sent: Any, _: Any) -> Any:
        """What a model takes and answers."""
        model = self.live(sent.name)
        told = metadata(model, live_version(model, sent.version))
        return message("ModelMetadataResponse")(**msgspec.to_builtins(told))

    async def model_infer(self, sent: Sent, context: Any) -> bytes:
        """Tensors to tensors, through the checks, the routing and the journal of every wire."""
        failed: list[TrimtabError] = []

        def keep(error: TrimtabError) -> Reply:
            failed.append(error)
            return Reply(status_of(error), b"")

        reply = await self.data_plane.answer(sent.model_name, self._infer(sent, context), keep)
        if failed:
            raise failed[0]
        return reply.body

    async def _infer(self, sent: Sent, context: Any) -> Reply:
        model = self.live(sent.model_name)
        version = live_version(model, sent.model_version)
        signature, raw, named = model.champion.signature, True, None
        deadline = deadline_header(context.time_remaining())
        if sent.head is not None and sent.head.signature is signature:
            if version is None:
                found = await self._plain(model, sent.head, sent.values, deadline)
                if isinstance(found, Reply):
                    return found
                named = found
            asked = sent.head.asked(sent.values, version, named)
        else:
            whole = sent.whole()
            asked, raw = (
                asked_of(whole, signature, version, self.max_rows),
                bool(whole.raw_input_contents),
            )
            self.heads.keep(sent, asked, signature)
        answer = await self.data_plane.predicted(sent.model_name, asked, signature, deadline)
        return Reply(200, answer_of(told_of(answer, asked, signature), raw=raw))

    async def _plain(
        self, model: LiveModel, head: Head, values: Sequence[Scalar], deadline: str
    ) -> Reply | str | None:
        """The answer to a row that comes complete; else its prediction id, if one was given out for it already."""
        if not model.plain or model.champion.together is not None:
            return None
        row = head.row(values, self.data_plane.monotonic())
        if row is None:
            return None
        found = await self.data_plane.predicted_plainly(model, row, deadline)
        if isinstance(found, str):
            return found
        told = told_of(found, head.wanted, model.champion.signature)
        return Reply(200, answer_of(told, raw=True))

    async def repository_index(self, sent: Any, _: Any) -> Any:
        """Every registered version."""
        found = await asyncio.to_thread(self.repository.index, ready=sent.ready)
        return message("RepositoryIndexResponse")(models=[msgspec.to_builtins(e) for e in found])

    async def repository_model_load(self, sent: Any, context: Any) -> Any:
        """Bring a model into memory; with a token in the metadata ``authorization``."""
        await self._change(self.repository.load, sent, context)
        return message("RepositoryModelLoadResponse")()

    async def repository_model_unload(self, sent: Any, context: Any) -> Any:
        """Take a model out of memory; with a token."""
        await self._change(self.repository.unload, sent, context)
        return message("RepositoryModelUnloadResponse")()

    async def _change(self, act: Callable[..., None], sent: Any, context: Any) -> None:
        headers = dict(context.invocation_metadata() or ())
        who = authorize(
            str(headers.get("authorization", "")), self.repository.deployment.config.auth
        )
        told = parameters(sent.parameters)
        try:
            asked = msgspec.convert(told, RepositoryParameters)
        except msgspec.ValidationError as not_so:
            raise misshapen(not_so, told, "parameters") from not_so
        await asyncio.to_thread(act, sent.model_name, asked, who)


async def open_edge(service: Service, config: ServeConfig) -> Any:
    """Listen; other workers listen at the same port, and the kernel deals connections out.

    Raises:
        Unavailable: the port cannot be bound.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", SLACK * config.max_body_bytes),
            ("grpc.max_send_message_length", -1),
        ]
    )
    count = service.data_plane.answered
    readers = {name: taken.FromString for name, taken, _ in methods()}
    readers["ModelInfer"] = service.heads.read
    most = config.max_body_bytes
    calls = {
        f"/{SERVICE}/{name}": _guarded(getattr(service, _snake(name)), read, count, most)
        for name, read in readers.items()
    }
    server.add_generic_rpc_handlers((_Handlers(calls, count),))
    host = f"[{config.host}]" if ":" in config.host else config.host
    try:
        server.add_insecure_port(f"{host}:{config.grpc_port}")
    except RuntimeError as refused:
        raise Unavailable(
            f"Cannot listen for gRPC on {host}:{config.grpc_port}.",
            code="address_in_use",
            hint="Choose another grpc_port of [serve].",
        ) from refused
    await server.start()
    return server


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What answers each call, and counts those that nothing of ours ever sees.

    Args:
        methods: By their full names.
        count: Counts what was refused.
    """

    def __init__(self, methods: Mapping[str, Method], count: Count) -> None:
        self._methods = methods
        self._count = count

    def service(self, details: Any) -> Any:
        """The handler of a call whose head has come."""
        method = self._methods.get(details.method)
        if method is None:
            return grpc.stream_stream_rpc_method_handler(self._no_method)
        return grpc.unary_unary_rpc_method_handler(
            _Call(method, self._count).answer, response_serializer=_serialized
        )

    async def _no_method(self, _: Any, context: Any) -> None:
        self._count("", 404)
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"There is no such method; the service is {SERVICE}.",
            (("trimtab-code", "no_route"),),
        )


class _Call:
    """One call. It ends without having begun where its client goes before its message is there, or brings far too large a one.

    Nobody knows which, so it is counted as HTTP's requests are that end before their body does.
    """

    __slots__ = ("_begun", "_count", "_method")

    def __init__(self, method: Method, count: Count) -> None:
        self._method = method
        self._count = count
        self._begun = False

    async def answer(self, body: bytes, context: Any) -> Any:
        """Answer its message."""
        self._begun = True
        return await self._method(body, context)

    def __del__(self) -> None:
        if not self._begun:
            self._count("", 400)


def _guarded(method: Method, read: Callable[[bytes], Any], count: Count, most: int) -> Method:
    """The method, whose errors become their status; code and path go along as trailing metadata."""

    async def answered(body: bytes, context: Any) -> Any:
        sent = None
        try:
            if len(body) > most:
                raise too_large(most)
            sent = _message(body, read)
            return await method(sent, context)
        except TrimtabError as error:
            if sent is None or method.__name__ != "model_infer":  # which the data plane counts
                named = getattr(sent, "name", "") or getattr(sent, "model_name", "")
                count(named, status_of(error))
            code = _CODES.get(status_of(error), grpc.StatusCode.INVALID_ARGUMENT)
            path = (("trimtab-path", error.path),) if error.path and error.path.isascii() else ()
            await context.abort(code, str(error), (("trimtab-code", error.code), *path))

    return answered


def _message(body: bytes, read: Callable[[bytes], Any]) -> Any:
    try:
        return read(body)
    except DecodeError as wrong:
        raise InvalidRequest(
            f"The message cannot be read: {wrong}.",
            code="malformed_message",
            hint="It is one of the protocol's own, in Protocol Buffers.",
        ) from wrong


def _serialized(answer: Any) -> bytes:
    found: bytes = answer if isinstance(answer, bytes) else answer.SerializeToString()
    return found


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
