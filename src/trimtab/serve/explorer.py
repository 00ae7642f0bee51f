"""``GET /docs``: the OpenAPI document as a page to read, from which requests can be sent.

Everything is on the page itself, so it needs no other address. It is read without a script; the one that
it has only sends what is in its forms.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.protocols import LiveModel
from trimtab.serve.openapi import document

Schema = Mapping[str, Any]
_JSON = "application/json"
_EXAMPLES: dict[str, Any] = {
    "string": "text", "number": 1.5, "integer": 1, "boolean": True, "null": None,
}  # fmt: skip
_DEEPEST = 8

_STYLE = """
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
details{border:1px solid #8884;border-radius:6px;margin:.35rem 0;padding:.35rem .7rem}
summary{cursor:pointer;font-family:ui-monospace,monospace;overflow-wrap:anywhere}
summary b{display:inline-block;width:3.6rem;color:#2a6f4e}summary b.post{color:#8a5a00}
label{display:block;margin:.4rem 0}input,textarea{width:100%;box-sizing:border-box;font:13px/1.4 ui-monospace,monospace;padding:.3rem}
button{font:inherit;padding:.25rem 1rem;margin:.3rem 0}
pre{background:#8881;padding:.5rem;border-radius:6px;overflow:auto;max-height:24rem;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){summary b{color:#7fcfa5}summary b.post{color:#e0b050}}
"""
_SCRIPT = """
for (const form of document.forms) form.addEventListener("submit", async event => {
  event.preventDefault();
  const out = form.querySelector("output"), data = new FormData(form), headers = {};
  let path = form.dataset.path;
  for (const [name, value] of data)
    if (name.startsWith("header.") && value) headers[name.slice(7)] = value;
    else if (name.startsWith("path.")) path = path.replace("{" + name.slice(5) + "}", encodeURIComponent(value));
  if (data.get("token")) headers.authorization = "Bearer " + data.get("token");
  if (data.has("body")) headers["content-type"] = "application/json";
  const began = performance.now();
  out.textContent = "…";
  try {
    const reply = await fetch(path, {method: form.dataset.method, headers, body: data.has("body") ? data.get("body") : undefined});
    let text = await reply.text();
    const took = (performance.now() - began).toFixed(0);
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch {}
    out.textContent = reply.status + " in " + took + " ms\\n" + text;
  } catch (error) { out.textContent = String(error); }
});
"""


def explorer_route(models: Callable[[], Sequence[LiveModel]]) -> Route:
    """The page.

    Args:
        models: What is live now.
    """
    policy = (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    async def endpoint(request: Request) -> Response:
        told = document(request.app.routes, models())
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return Response(page(told), media_type="text/html", headers=headers)

    return Route("/docs", endpoint)


def page(told: Mapping[str, Any]) -> str:
    """The page of a document."""
    groups: dict[str, list[str]] = {}
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            made = "".join(_operation(path, method, operation, told["components"]["schemas"]))
            groups.setdefault(_group(path), []).append(made)
    body = "".join(f"<h2>{escape(name)}</h2>{''.join(made)}" for name, made in groups.items())
    info = told["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])}: HTTP</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        'The same for programs: <a href="/openapi.json">openapi.json</a>. '
        '<a href="/">Dashboard</a></p>'
        f"<noscript><p>Requests are sent by a script; reading needs none.</p></noscript>{body}"
        f"<script>{_SCRIPT}</script></body></html>"
    )


def _operation(
    path: str, method: str, operation: Schema, schemas: Mapping[str, Schema]
) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary><b class="{method}">'
    yield f"{method.upper()}</b>{escape(path)}</summary>"
    yield f'<form data-method="{method.upper()}" data-path="{escape(path)}">'
    for parameter in operation.get("parameters", ()):
        name, where = escape(parameter["name"]), parameter["in"]
        required = " required" * parameter.get("required", False)
        yield f'<label>{name}<input name="{where}.{name}"{required}></label>'
    if operation.get("security"):
        yield '<label>token<input name="token" type="password" autocomplete="off"></label>'
    sent = operation.get("requestBody", {}).get("content", {}).get(_JSON)
    if sent is not None:
        example = json.dumps(sample(sent["schema"], schemas), indent=2, ensure_ascii=False)
        rows = min(16, example.count("\n") + 1)
        yield f'<label>body<textarea name="body" rows="{rows}" spellcheck="false">'
        yield f"{escape(example)}</textarea></label>"
    yield "<button>Send</button><pre><output></output></pre></form>"
    for title, content in _contents(operation):
        shape = json.dumps(_resolved(content, schemas), indent=2, ensure_ascii=False)
        yield f"<details><summary>{escape(title)}</summary><pre>{escape(shape)}</pre></details>"
    yield "</details>"


def _contents(operation: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas of an operation that say anything, with titles."""
    body = operation.get("requestBody", {}).get("content", {}).get(_JSON, {}).get("schema")
    if body:
        yield "schema of the body", body
    for status, reply in operation["responses"].items():
        schema = reply["content"].get(_JSON, {}).get("schema")
        if schema:
            yield f"schema of the answer, {status}", schema


def sample(schema: Schema, schemas: Mapping[str, Schema], depth: int = 0) -> Any:
    """A value of a schema's shape, to begin with."""
    schema = _target(schema, schemas)
    if depth > _DEEPEST:
        return None
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return sample(schema[choice][0], schemas, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        inside = schema.get("properties", {})
        wanted = schema.get("required") or inside
        return {name: sample(inside[name], schemas, depth + 1) for name in wanted}
    if kind == "array":
        items = schema.get("items")
        return [sample(items, schemas, depth + 1)] if isinstance(items, Mapping) else []
    return schema["enum"][0] if "enum" in schema else _EXAMPLES.get(str(kind))


def _resolved(schema: Any, schemas: Mapping[str, Schema], depth: int = 0) -> Any:
    """A schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [_resolved(one, schemas, depth) for one in schema]
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return schema
    found = _target(schema, schemas)
    return {name: _resolved(value, schemas, depth + 1) for name, value in found.items()}


def _target(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _group(path: str) -> str:
    if path.startswith("/api/"):
        return "Control"
    if path.startswith("/v2"):
        return "Open Inference Protocol"
    return "Predictions and outcomes" if path.startswith("/models/") else "Metrics"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
