"""BentoML with one worker, without metrics and access log: ``bentoml_peer.py MODEL PATH PORT``.

Runs in the peers' environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import joblib
import numpy as np

NUMBERS = [f"x{i}" for i in range(30)]


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    monitoring={"enabled": False},
)
class Scorer:
    """The fitted pipeline on an array of one row."""

    def __init__(self) -> None:
        self._model: Any = joblib.load(os.environ["BENCH_MODEL"])
        for step in [self._model, *(step for _, step in getattr(self._model, "steps", []))]:
            vars(step).pop("feature_names_in_", None)

    @bentoml.api
    async def predict(self, features: dict[str, float]) -> dict[str, float]:
        row = np.array([[features[name] for name in NUMBERS]])
        return {"score": float(self._model.predict_proba(row)[0, 1])}


if __name__ == "__main__":
    _, path, port = sys.argv[1:]
    os.environ |= {"BENCH_MODEL": path, "BENTOML_DO_NOT_TRACK": "True"}
    words = ["-m", "bentoml", "serve", f"{Path(__file__).stem}:Scorer", "--port", port]
    os.chdir(Path(__file__).parent)
    os.execv(  # noqa: S606 - the peer itself, in this process
        sys.executable, [sys.executable, *words, "--host", "127.0.0.1"]
    )
