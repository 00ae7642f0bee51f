from __future__ import annotations

import pytest

from trimtab.errors import InvalidRequest
from trimtab.serve.wire import within
from trimtab.types import PredictRequest


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [("", None, None), ("", 5.0, 5.0), ("30", None, 30.0), ("30", 5.0, 5.0), ("3", 5.0, 3.0)],
)
def test_the_shorter_deadline_counts(
    header: str, body: float | None, expected: float | None
) -> None:
    assert expected == within(PredictRequest(rows=(), deadline_ms=body), header).deadline_ms


@pytest.mark.parametrize("header", ["0", "-1", "1.5", "x", "٣", "9" * 10, "1, 2", " "])
def test_what_is_no_time_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        within(PredictRequest(rows=()), header)
    assert "invalid_deadline" == told.value.code
