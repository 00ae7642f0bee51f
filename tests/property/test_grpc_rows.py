"""Calls over gRPC of known heads are answered and recorded as those that are read whole, whoever answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from tests.property.test_plain_rows import STRATEGIES, Board, flow

from trimtab.config import ServeConfig
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.overload import Turnstile
from trimtab.serve.rpc.edge import Service
from trimtab.serve.rpc.heads import Heads, Sent
from trimtab.serve.rpc.messages import message
from trimtab.serve.v2.tensors import encoded
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

ROWS = ((0.25, 1.0), (0.5, 3.0), (0.75, float("nan")), (2.0**53, 1.0), (0.125, 2.0))


class Hurried:
    """A call's context, with so much time left."""

    def time_remaining(self) -> float | None:
        return 5.0


class Whole(Heads):
    """Knows none."""

    def read(self, body: bytes) -> Sent:
        sent = message("ModelInferRequest").FromString(body)
        return Sent(body, sent.model_name, sent.model_version, message=sent)


def answered(
    board: Board, heads: Heads, names: str, outputs: Sequence[str]
) -> tuple[list[bytes], Sequence[PredictionRecord]]:
    clock, metrics = FakeClock(), Metrics()
    made, journal = flow(board, clock, metrics)
    data_plane = DataPlane(
        flow=made,
        live=board.live,
        outcomes=cast("Any", None),
        config=ServeConfig(),
        clock=clock,
        metrics=metrics,
        turnstile=Turnstile(ServeConfig(), clock.monotonic, metrics, lambda _: None),
        known={"m"}.__contains__,
        in_thread=cast("Any", None),
    )
    service = Service(data_plane, cast("Any", None), board.live, lambda: True, 10, heads)
    found = []
    for x, y in ROWS:
        sent = message("ModelInferRequest")(model_name="m")
        for name, value in sorted(
            zip("xy", (x, y), strict=True), key=lambda one: names.index(one[0])
        ):
            sent.inputs.add(name=name, datatype="FP64", shape=[1])
            sent.raw_input_contents.append(encoded("FP64", [value]))
        for name in outputs:
            sent.outputs.add(name=name)
        body = sent.SerializeToString()
        found.append(asyncio.run(service.model_infer(heads.read(body), Hurried())))
    return found, journal.records


@pytest.mark.parametrize("names", ["xy", "yx"])
@pytest.mark.parametrize("outputs", [(), ("score", "version")])
@pytest.mark.parametrize("share", [0, 5_000])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_known_head_changes_no_answer_and_no_record(
    strategy: str, share: int, outputs: Sequence[str], names: str
) -> None:
    known = answered(board := Board(strategy, share), Heads(), names, outputs)
    assert answered(board, Whole(), names, outputs) == known
    assert len(ROWS) == len(known[1])
