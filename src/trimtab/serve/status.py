"""Errors to HTTP: one table, one body."""

from __future__ import annotations

import msgspec

from trimtab.errors import (
    Conflict,
    InvalidConfig,
    InvalidInput,
    InvalidPlan,
    InvalidRequest,
    InvalidRow,
    ModelFailure,
    NotFound,
    Refused,
    TrimtabError,
    Unavailable,
)

STATUS_BY_CODE = {
    "body_too_large": 413,
    "too_many_rows": 413,
    "unsupported_media_type": 415,
    "unauthorized": 401,
    "request_timeout": 408,
    "head_too_large": 431,
}

STATUS: dict[type[TrimtabError], int] = {
    InvalidRequest: 400,
    InvalidRow: 422,
    InvalidPlan: 422,
    InvalidConfig: 422,
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    Refused: 403,
    Unavailable: 503,
    ModelFailure: 500,
    TrimtabError: 500,
}


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client is told: a stable code, what is wrong, what to do, and where it stands."""

    code: str
    message: str
    hint: str = ""
    path: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response that is not 2xx."""

    error: ErrorDetail


class InferenceErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same for clients of the Open Inference Protocol, who expect a text in ``error``."""

    error: str
    code: str
    path: str | None = None


def status_of(error: TrimtabError) -> int:
    """The HTTP status of an error: by its code, else by its class."""
    if error.code in STATUS_BY_CODE:
        return STATUS_BY_CODE[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def body_of(error: TrimtabError) -> ErrorBody:
    """The body that tells a client about an error."""
    return ErrorBody(
        ErrorDetail(code=error.code, message=error.message, hint=error.hint, path=error.path)
    )


def inference_body_of(error: TrimtabError) -> InferenceErrorBody:
    """The same in the Open Inference Protocol's form."""
    return InferenceErrorBody(str(error), error.code, error.path)
