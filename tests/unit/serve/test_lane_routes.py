"""Which requests are answered together with others of their turn, by their heads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from trimtab.serve.lane.routes import Predictions, plain

LENGTH = b"inference-header-content-length"
JSON, BINARY = b"application/json", b"application/octet-stream"


class Told:
    """Says what it was asked by."""

    async def together(self, model: str, _: Sequence[Any]) -> Sequence[Any]:
        return ["predict", model]

    async def features_together(self, model: str, _: Sequence[Any]) -> Sequence[Any]:
        return ["features", model]

    async def tensors_together(
        self, model: str, _: Sequence[Any], header_length: int | None = None
    ) -> Sequence[Any]:
        return ["infer", model, header_length]


@pytest.mark.parametrize(
    ("url", "headers", "expected"),
    [
        (b"/models/m/predict", {}, ["predict", "m"]),
        (
            b"/models/m/predict",
            {b"content-type": b"application/json; charset=utf-8"},
            ["predict", "m"],
        ),
        (b"/models/m/predict", {b"content-type": BINARY}, None),
        (b"/models/m/features", {b"content-type": JSON}, ["features", "m"]),
        (b"/v2/models/m/infer", {b"content-type": JSON}, ["infer", "m", None]),
        (b"/v2/models/m/infer", {b"content-type": BINARY}, None),
        (b"/v2/models/m/infer", {b"content-type": BINARY, LENGTH: b"120"}, ["infer", "m", 120]),
        (b"/v2/models/m/infer", {LENGTH: b"120"}, ["infer", "m", 120]),
        (b"/v2/models/m/infer", {LENGTH: b"-1"}, None),
        (b"/v2/models/m/infer", {b"content-type": b"text/csv", LENGTH: b"120"}, None),
        (b"/v2/models/m/infer", {b"trimtab-deadline-ms": b"50"}, None),
        (b"/v2/models/m/versions/1/infer", {}, None),
        (b"/models/m/outcomes", {}, None),
    ],
)
def test_heads_that_say_nothing_more(
    url: bytes, headers: Mapping[bytes, bytes], expected: list[Any] | None
) -> None:
    found = plain(cast("Predictions", Told()), url, headers)
    assert expected == (found and asyncio.run(found.together(found.model, [])))
