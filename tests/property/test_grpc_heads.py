"""What is known of an infer request by its head is what reading all of it would find, whatever its bytes are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.errors import TrimtabError
from trimtab.schema import Checker
from trimtab.serve.rpc.heads import MOST_HEADS, Heads
from trimtab.serve.rpc.messages import message
from trimtab.serve.rpc.tensors import answer_of, asked_of
from trimtab.serve.v2.reply import OutputTensor, Told
from trimtab.serve.v2.request import Asked
from trimtab.serve.v2.tensors import NUMPY, encoded
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task

NAMES = ("amount", "ratio", "visits")
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in NAMES),
    task=Task.REGRESSION,
)
Request = message("ModelInferRequest")
KINDS = sorted(set(NUMPY) - {"BOOL"})


def built(
    kinds: Sequence[str], values: Sequence[int], names: Sequence[str] = NAMES, **beside: Any
) -> Any:
    made = Request(model_name="m", **beside)
    for name, kind, value in zip(names, kinds, values, strict=True):
        made.inputs.add(name=name, datatype=kind, shape=[1])
        made.raw_input_contents.append(np.array([value], NUMPY[kind]).tobytes())
    return made


def read_whole(body: bytes) -> Asked | None:
    """What all of a body asks, None if it is refused."""
    try:
        return asked_of(Request.FromString(body), SIGNATURE, None, 10)
    except (TrimtabError, DecodeError):
        return None


def read(heads: Heads, body: bytes) -> tuple[Asked | None, bool]:
    """The same by way of heads, and whether one was known."""
    try:
        sent = heads.read(body)
    except DecodeError:
        return None, False
    if sent.head is not None:
        assert (sent.model_name, sent.model_version) == ("m", sent.whole().model_version)
        return sent.head.asked(sent.values, None), True
    asked = read_whole(body)
    if asked is not None:
        heads.keep(sent, asked, SIGNATURE)
    return asked, False


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=3, max_size=3),
    st.lists(st.lists(st.integers(0, 100), min_size=3, max_size=3), min_size=2, max_size=4),
    st.permutations(NAMES),
)
def test_numbers_behind_a_known_head_are_those_that_were_sent(
    kinds: list[str], rows: list[list[int]], names: list[str]
) -> None:
    heads, found = Heads(), list[bool]()
    for row in rows:
        body = built(kinds, row, names).SerializeToString()
        asked, known = read(heads, body)
        assert asked == read_whole(body)
        found.append(known)
    assert found == [False] + [True] * (len(rows) - 1)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["FP64", "FP32", "FP16", "INT64"]), min_size=3, max_size=3),
    st.lists(
        st.one_of(st.floats(width=16), st.sampled_from([2.0**53, -(2.0**53), 2.0**52])),
        min_size=3,
        max_size=3,
    ),
    st.permutations(NAMES),
)
def test_a_row_without_anything_unusual_is_the_one_that_checks_would_find(
    kinds: list[str], values: list[float], names: list[str]
) -> None:
    heads = Heads()
    read(heads, built(kinds, [1, 2, 3], names).SerializeToString())
    made = Request(model_name="m")
    for name, kind, value in zip(names, kinds, values, strict=True):
        made.inputs.add(name=name, datatype=kind, shape=[1])
        with np.errstate(all="ignore"):
            made.raw_input_contents.append(np.array([value]).astype(NUMPY[kind]).tobytes())
    sent = heads.read(made.SerializeToString())
    assert sent.head is not None
    row = sent.head.row(sent.values, 7.0)
    if row is None:
        assert (
            not all(map(np.isfinite, values))
            or max(map(abs, values)) >= 2**53
            or set(kinds) - {"FP64", "FP32"}
        )
        return
    (asked,) = sent.head.asked(sent.values, None).request.rows
    checked, _ = Checker(SIGNATURE).check(asked, "rows[0]")
    assert repr(tuple(checked)) == repr(row.values)
    assert (7.0, None, None) == (row.began, row.key, row.request_id)


BODY = built(["FP64", "INT8", "FP32"], [1, 2, 3]).SerializeToString()


@settings(deadline=None, max_examples=400)
@given(
    st.lists(
        st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255), st.sampled_from("=-+")),
        min_size=1,
        max_size=3,
    )
)
@example([(0, 0, "-")])
def test_a_body_of_changed_bytes_is_never_taken_for_another(
    changes: list[tuple[int, int, str]],
) -> None:
    heads = Heads()
    read(heads, BODY)
    changed = bytearray(BODY)
    for at, byte, how in changes:
        changed[at : at + (how != "+")] = b"" if how == "-" else bytes([byte])
    asked, _ = read(heads, bytes(changed))
    assert repr(asked) == repr(read_whole(bytes(changed)))


def before_them(made: Any) -> bytes:
    """A message whose contents stand in front, and whose end looks just like them."""
    contents = Request(raw_input_contents=made.raw_input_contents).SerializeToString()
    rest = Request()
    rest.CopyFrom(made)
    rest.ClearField("raw_input_contents")
    unknown = b"\xfa\x01" + bytes([len(contents)]) + contents  # a field that nobody knows
    return bytes(contents + rest.SerializeToString() + unknown)


def test_what_only_looks_like_contents_is_not_taken_for_them() -> None:
    heads = Heads()
    for values in ([1, 2, 3], [4, 5, 6]):
        body = before_them(built(["FP64"] * 3, values))
        asked, known = read(heads, body)
        assert not known
        assert asked == read_whole(body) is not None


@pytest.mark.parametrize(
    "odd",
    [
        built(["FP64"] * 3, [1, 2, 3], id="r-1"),
        built(["BOOL"] * 3, [1, 0, 1]),
        built(["FP64"] * 3, [1, 2, 3], ("amount", "ratio", "trimtab.event_time")),
        Request(
            model_name="m",
            inputs=[{"name": "x", "datatype": "FP64", "shape": [1, 3]}],
            raw_input_contents=[bytes(24)],
        ),
    ],
    ids=["with an id", "truth values", "a column of ours", "a matrix"],
)
def test_other_requests_are_read_whole(odd: Any) -> None:
    heads = Heads()
    for _ in range(2):
        asked, known = read(heads, odd.SerializeToString())
        assert asked is not None
        assert not known


def test_heads_are_few() -> None:
    heads = Heads()
    for number in range(2 * MOST_HEADS + 1):
        read(heads, built(["FP64"] * 3, [1, 2, 3], model_version=str(number)).SerializeToString())
    assert len(heads) == 1


@settings(deadline=None)
@given(
    st.none() | st.text(max_size=300),
    st.none() | st.integers(1, 9),
    st.lists(st.floats(), min_size=1, max_size=300),
    st.integers(1, 2**40),
)
def test_an_answer_says_the_same_raw_and_typed(
    name: str | None, version: int | None, scores: list[float], epoch: int
) -> None:
    texts = [f"p{at}" for at in range(len(scores))]
    tensors = [
        OutputTensor("score", "FP64", (len(scores),), scores, binary=False),
        OutputTensor("prediction_id", "BYTES", (len(scores),), texts, binary=False),
    ]
    told = Told("m", version, name, epoch, tensors)
    read = message("ModelInferResponse").FromString
    raw, typed = (read(answer_of(told, raw=how)) for how in (True, False))
    assert list(raw.raw_output_contents) == [encoded(t.datatype, t.elements) for t in tensors]
    raw.ClearField("raw_output_contents")
    assert repr(scores) == repr(list(typed.outputs[0].contents.fp64_contents))
    for output in typed.outputs:
        output.ClearField("contents")
    assert raw == typed
    assert (typed.id, typed.model_version, typed.parameters["epoch"].int64_param) == (
        name or "",
        str(version or ""),
        epoch,
    )
