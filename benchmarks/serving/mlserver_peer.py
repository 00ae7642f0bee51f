"""MLServer in one process, as its documentation tunes it: ``mlserver_peer.py MODEL PATH PORT``.

No inference workers (``parallel_workers`` 0), no metrics endpoint's cost but its own, no debug log. Runs in the
peers' environment.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from mlserver import MLModel
from mlserver.cli import main as command_line
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Scorer(MLModel):  # type: ignore[misc]
    """The fitted pipeline on the tensor of one row."""

    async def load(self) -> bool:
        self._model: Any = joblib.load(self.settings.parameters.uri)
        for step in [self._model, *(step for _, step in getattr(self._model, "steps", []))]:
            vars(step).pop("feature_names_in_", None)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        score = np.ascontiguousarray(self._model.predict_proba(rows)[:, 1:])
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("score", score)]
        )


def main(model: str, path: str, port: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    (folder / "mlserver_peer.py").symlink_to(Path(__file__).resolve())
    ports = {"http_port": int(port), "grpc_port": int(port) + 1, "metrics_port": int(port) + 2}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(
        json.dumps(
            {"name": model, "implementation": "mlserver_peer.Scorer", "parameters": {"uri": path}}
        )
    )
    sys.argv = ["mlserver", "start", str(folder)]
    command_line()


if __name__ == "__main__":
    main(*sys.argv[1:])
