"""LitServe with one worker: ``litserve_peer.py MODEL PATH PORT``. Runs in the peers' environment."""

import sys
from typing import Any

import joblib
import litserve
import numpy as np

NUMBERS = [f"x{i}" for i in range(30)]


class Scorer(litserve.LitAPI):  # type: ignore[misc]
    """The fitted pipeline on an array of one row."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def setup(self, _device: str) -> None:
        self._model: Any = joblib.load(self._path)
        for step in [self._model, *(step for _, step in getattr(self._model, "steps", []))]:
            vars(step).pop("feature_names_in_", None)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # read by LitServe
        return np.array([[request["features"][name] for name in NUMBERS]])

    def predict(self, row: Any) -> float:
        return float(self._model.predict_proba(row)[0, 1])

    def encode_response(self, score: float) -> dict[str, float]:
        return {"score": score}


if __name__ == "__main__":
    _, model_path, own_port = sys.argv[1:]
    server = litserve.LitServer(Scorer(model_path), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(own_port), host="127.0.0.1", generate_client_file=False, log_level="warning"
    )
