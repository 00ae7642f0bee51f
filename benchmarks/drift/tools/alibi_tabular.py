"""Alibi Detect's TabularDrift; its user encodes text as numbers first, which is part of the run."""

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift
from measure import measure, paths

reference, current = map(pd.read_parquet, paths())


def encoded(frame: pd.DataFrame, known: dict[str, dict[str, int]]) -> np.ndarray:
    """All columns as float32."""
    table = np.empty(frame.shape, dtype=np.float32)
    for at, name in enumerate(frame.columns):
        column = frame[name]
        table[:, at] = column.map(known[name]) if name in known else column
    return table


def run() -> object:
    """Encode, set up, predict."""
    texts = [name for name in reference.columns if name.startswith("s")]
    known = {name: {v: i for i, v in enumerate(reference[name].unique())} for name in texts}
    places = {reference.columns.get_loc(name): len(known[name]) for name in texts}
    detector = TabularDrift(encoded(reference, known), p_val=0.05, categories_per_feature=places)
    return detector.predict(encoded(current, known))


measure(run)
