"""What is answered, and how an error is told."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from trimtab.errors import TrimtabError
from trimtab.log_events import Event
from trimtab.serve.overload import SHED_CODES
from trimtab.serve.status import body_of, inference_body_of, status_of

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
JSON = "application/json"


class Reply(msgspec.Struct, frozen=True):
    """A status, a body and its type, and extra headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Failed = Callable[[TrimtabError], Reply]
"""How an error is told in a wire format."""


def failure(error: TrimtabError) -> Reply:
    """The reply that tells a client about an error."""
    return _failed(error, _encode(body_of(error)))


def inference_failure(error: TrimtabError) -> Reply:
    """The same as the Open Inference Protocol says it: ``error`` is a text."""
    return _failed(error, _encode(inference_body_of(error)))


def _failed(error: TrimtabError, body: bytes) -> Reply:
    status = status_of(error)
    if status >= 500 and error.code not in SHED_CODES:  # counted; a line for each would be load too
        logger.error(Event.REQUEST_FAILED, exc_info=error, extra={"code": error.code})
    headers = (("retry-after", "1"),) if status == 503 else ()
    return Reply(status, body, headers=headers)
