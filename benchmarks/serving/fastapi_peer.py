"""FastAPI as one writes it by hand; runs in the peers' environment: ``fastapi_peer.py KIND MODEL PATH PORT``.

KIND ``sklearn`` calls the pipeline on a frame or an array of one row, ``onnx`` runs its conversion with one
thread, ``empty`` answers without reading the body.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

NUMBERS = [f"x{i}" for i in range(30)]
TEXTS = [f"c{i}" for i in range(5)]


class Row(BaseModel):
    features: dict[str, float | str | None]


def scorer(kind: str, model: str, path: str) -> Callable[[dict[str, Any]], float]:
    fitted = joblib.load(path)
    if kind == "onnx":
        return onnx_scorer(fitted)
    if model == "columns":
        names = NUMBERS + TEXTS

        def frame(features: dict[str, Any]) -> float:
            row = {name: features.get(name, np.nan) for name in names}
            table = pd.DataFrame([row], columns=names)
            table[TEXTS] = table[TEXTS].astype(object)
            return float(fitted.predict_proba(table)[0, 1])

        return frame
    # The step behind the names: an array needs no frame, and no check of names.
    steps = [fitted, *(step for _, step in getattr(fitted, "steps", []))]
    for step in steps:
        vars(step).pop("feature_names_in_", None)

    def array(features: dict[str, Any]) -> float:
        return float(fitted.predict_proba(np.array([[features[n] for n in NUMBERS]]))[0, 1])

    return array


def onnx_scorer(fitted: Any) -> Callable[[dict[str, Any]], float]:
    import onnxruntime
    from skl2onnx import to_onnx

    final = fitted.steps[-1][1] if hasattr(fitted, "steps") else fitted
    converted = to_onnx(
        fitted, np.zeros((1, len(NUMBERS)), np.float32), options={id(final): {"zipmap": False}}
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given, wanted = session.get_inputs()[0].name, [session.get_outputs()[1].name]

    def score(features: dict[str, Any]) -> float:
        row = np.array([[features[n] for n in NUMBERS]], np.float32)
        return float(session.run(wanted, {given: row})[0][0, 1])

    return score


def main(kind: str, model: str, path: str, port: str) -> None:
    app = FastAPI()
    route = f"/models/{model}/predict"
    if kind == "empty":

        @app.post(route)
        async def empty() -> dict[str, float]:
            return {"score": 0.5}

    else:
        score = scorer(kind, model, path)

        @app.post(route)
        async def predict(row: Row) -> dict[str, float]:
            return {"score": score(row.features)}

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
