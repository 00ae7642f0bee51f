"""How a page is answered: its template, what it may load, and what is shown where something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import Conflict, NotFound, TrimtabError, Unavailable
from trimtab.report.rendering import environment
from trimtab.serve.status import status_of

_TEMPLATES = environment("trimtab.ui")

Page = Callable[[Request], Response]


def guarded(show: Page) -> Page:
    """The page, or one that says what is wrong and what to do next."""

    def endpoint(request: Request) -> Response:
        try:
            return show(request)
        except (NotFound, Conflict, Unavailable) as error:
            return trouble(request, error, status_of(error))

    return endpoint


def trouble(request: Request, error: TrimtabError, status: int) -> Response:
    """What is wrong: as data where data was asked for."""
    if request.url.path.endswith(".json"):
        detail = {"code": error.code, "message": error.message, "hint": error.hint}
        return json({"error": detail}, status)
    return page(request, "trouble.html", status, error=error)


def page(
    request: Request, template: str, status: int = 200, *, live: bool = True, **values: Any
) -> Response:
    """A template filled in; ``live`` pages load themselves again, the others may send a form."""
    text = _TEMPLATES.get_template(template).render(
        live=live and status == 200 and request.query_params.get("refresh") != "off",
        pausable=live and status == 200,
        path=request.url.path,
        status=status,
        **values,
    )
    return answer(text, status=status, form="'none'" if live else "'self'")


def answer(
    text: str, *, status: int = 200, style: str = "'self'", form: str = "'none'"
) -> Response:
    """HTML that runs no script and loads nothing from elsewhere."""
    policy = (
        f"default-src 'none'; style-src {style}; img-src 'self' data:; "
        f"base-uri 'none'; form-action {form}; frame-ancestors 'none'"
    )
    return Response(
        text,
        status,
        media_type="text/html",
        headers={
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def json(body: Any, status: int = 200) -> Response:
    """Data as it is now."""
    return Response(
        msgspec.json.encode(body),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
