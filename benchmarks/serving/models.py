"""The models that every server serves, and a different row for each request."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NUMBERS = [f"x{i}" for i in range(30)]
TEXTS = [f"c{i}" for i in range(5)]
CATEGORIES = np.array(["red", "green", "blue", "black", "white", "grey"], dtype=object)
MODELS = ("lr", "hgb", "rf", "columns")


def rows(model: str, count: int, seed: int) -> pd.DataFrame:
    """Rows of 30 floats; for ``columns`` 5 categories too, and a tenth of all values missing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, len(NUMBERS))), columns=NUMBERS)
    if model == "columns":
        for name in TEXTS:
            frame[name] = random.choice(CATEGORIES, count)
        frame[TEXTS] = frame[TEXTS].astype(object)
        frame = frame.mask(random.random(frame.shape) < 0.1)
    return frame


def outcome(frame: pd.DataFrame, seed: int) -> pd.Series:
    """A label that the rows explain in part."""
    noise = np.random.default_rng(seed).normal(0, 1.5, len(frame))
    x = frame[NUMBERS].fillna(0.0)
    return pd.Series((x["x0"] + x["x1"] * x["x2"] + noise > 0).astype(int), name="outcome")


def untrained(model: str) -> ClassifierMixin:
    if model == "lr":
        return make_pipeline(StandardScaler(), LogisticRegression())
    if model == "hgb":
        return HistGradientBoostingClassifier(max_iter=100, random_state=0)
    if model == "rf":
        return RandomForestClassifier(300, max_depth=12, random_state=0)
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            (
                make_pipeline(
                    SimpleImputer(strategy="constant", fill_value="none"),
                    OneHotEncoder(handle_unknown="ignore"),
                ),
                TEXTS,
            ),
        ),
        LogisticRegression(),
    )


def trained(folder: Path, model: str) -> Path:
    """The fitted model as joblib; fitted once and kept in the folder."""
    path = folder / f"{model}.joblib"
    if not path.exists():
        frame = rows(model, 10_000, seed=0)
        joblib.dump(untrained(model).fit(frame, outcome(frame, seed=0)), path)
    return path


def bodies(model: str, count: int, seed: int) -> list[bytes]:
    """JSON bodies of one row each, no two the same; what is missing is left out."""
    records = rows(model, count, seed).to_dict("records")
    return [
        json.dumps({"features": {k: v for k, v in row.items() if not pd.isna(v)}}).encode()
        for row in records
    ]


def tensors(model: str, count: int, seed: int) -> list[bytes]:
    """The same rows as requests of the Open Inference Protocol, a tensor of one row each."""
    return [
        json.dumps(
            {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row}]}
        ).encode()
        for row in rows(model, count, seed)[NUMBERS].to_numpy().tolist()
    ]
