"""A body is refused for a name that stands twice exactly when one does, whatever is in its texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InvalidRequest
from trimtab.serve.wire import predict_request

names = st.text('ab:"\\é{}', min_size=1, max_size=3)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), names)
pairs = st.lists(st.tuples(names, scalars), max_size=5)
gaps = st.sampled_from(["", " ", "\n\t"])


@given(
    rows=st.lists(pairs, min_size=1, max_size=3),
    key=st.none() | names,
    ascii=st.booleans(),
    gap=gaps,
)
def test_duplicates_are_refused_and_nothing_else(
    rows: list[list[tuple[str, object]]],
    key: str | None,
    ascii: bool,  # noqa: A002 - json's own word
    gap: str,
) -> None:
    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=ascii)

    def row(members: list[tuple[str, object]]) -> str:
        inside = ",".join(f"{text(name)}{gap}:{gap}{text(value)}" for name, value in members)
        return f'{{"features":{{{inside}}}, "key"{gap}: {text(key)}}}'

    body = f'{{"rows": [{",".join(map(row, rows))}]}}'.encode()
    twice = any(len({name for name, _ in members}) < len(members) for members in rows)
    if twice:
        with pytest.raises(InvalidRequest) as refused:
            predict_request(body, 10)
        assert "duplicate_name" == refused.value.code
    else:
        asked, _ = predict_request(body, 10)
        assert [dict(members) for members in rows] == [found.features for found in asked.rows]
