"""A compact artifact that was cut or changed is refused or answers; it never does anything else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from trimtab.compact.artifact import Draft, write
from trimtab.errors import TrimtabError
from trimtab.models.formats.compact import CompactFormat
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.models.guard import Guarded, opened
from trimtab.optimize.compact import compact
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Columns, Signature, Task


@cache
def artifact() -> tuple[bytes, Signature, Columns]:
    """A pipeline with every kind of operation and a forest, written."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=60), "c": random.choice(["x", "y"], 60)})
    frame.loc[::5, "a"] = np.nan
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), PolynomialFeatures(2)), ["a"]), (OneHotEncoder(), ["c"])
    )
    model = make_pipeline(columns, RandomForestClassifier(3, random_state=0))
    model.fit(frame, random.integers(0, 2, 60))
    signature = infer_signature(frame, task=Task.BINARY, labels=("0", "1"))
    rows = columns_from_frame(signature, frame)
    served = Guarded(SklearnPredictor(model, signature), signature, "m")
    found = compact(model, signature, served, rows)
    assert isinstance(found.artifact, Draft)
    with TemporaryDirectory() as folder:
        write(found.artifact, Path(folder) / "model")
        return (Path(folder) / "model").read_bytes(), signature, rows


def tried(data: bytes) -> Iterator[str]:
    """Open and answer; a guard turns whatever is raised into a refusal, but not a crash."""
    _, signature, rows = artifact()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(data)
        try:
            answer = opened(CompactFormat(), path, signature, "m").predict(rows)
        except TrimtabError:
            yield "refused"
        else:
            assert answer.shape == (rows.rows, 2)
            yield "answered"


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_changed_bytes(changes: list[tuple[float, int]], cut: float | None) -> None:
    data = bytearray(artifact()[0])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    kept = bytes(data if cut is None else data[: int(cut * len(data))])
    assert set(tried(kept)) <= {"refused", "answered"}


def test_the_artifact_itself_answers_and_a_cut_one_is_refused() -> None:
    whole = artifact()[0]
    assert ["answered"] == list(tried(whole))
    assert {"refused"} == {
        end for size in (0, 7, 16, 90, len(whole) - 1) for end in tried(whole[:size])
    }
