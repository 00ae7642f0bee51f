from __future__ import annotations

import msgspec

from trimtab.record.answers import Answered, Asked, prediction
from trimtab.types import (
    Arm,
    Assignment,
    FeatureKind,
    FeatureSpec,
    Resolved,
    Route,
    Signature,
    Task,
)

ASKED = Asked(
    id="p1",
    event_time=10.0,
    unit="u",
    assignment=Assignment(arm=0, sticky=True),
    resolved=Resolved(
        values=(5.0, 2.5, None, 0.0), sources="qr-d", ages_seconds=(None, 4.0, None, None)
    ),
    request_id=None,
    entities={},
)
SIGNATURE = Signature(
    features=tuple(
        FeatureSpec(name=n, kind=FeatureKind.NUMERIC) for n in ("wind", "distance", "snow", "fog")
    ),
    task=Task.REGRESSION,
)
ANSWERED = Answered(
    route=Route(
        model="m", epoch=1, arms=(Arm(name="champion", version=1, share=1.0),), slots=b"", salt=""
    ),
    arm=0,
    version=1,
    digest="sha256:0",
    signature=SIGNATURE,
    pick=(1, 0, 2, 3),
    wall_time=11.0,
    latency_ms=1.0,
)


def test_provenance_is_told_by_name_to_those_who_ask() -> None:
    told = msgspec.json.decode(
        msgspec.json.encode(prediction(ASKED, ANSWERED, [1.0], provenance=True))
    )
    assert told["features"] == {
        "wind": {"source": "realtime", "value": 2.5, "age_seconds": 4.0},
        "distance": {"source": "request", "value": 5.0},
        "snow": {"source": "missing", "value": None},
        "fog": {"source": "default", "value": 0.0},
    }


def test_nobody_else_is_told_more_than_the_sources() -> None:
    told = msgspec.json.decode(msgspec.json.encode(prediction(ASKED, ANSWERED, [1.0])))
    assert "features" not in told
    assert told["sources"] == "qr-d"
