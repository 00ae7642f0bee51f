"""`make bench-serving ARGS="together ..."`: single rows scored together, beside one by one.

``together.py [models=hgb,rf,columns] [connections=1,16,64] [seconds=5] [folder=DIR]``. Models of scikit-learn that are not
compiled, one worker on one core, the load on the other, in turns: ``batch_rows`` 1, and as it is by default. The folder is
its own: what is registered there has no compiled form.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from limits import BODIES, served
from models import bodies
from run import loaded, stopped


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-together"))
    folder.mkdir(parents=True, exist_ok=True)
    print("| model | connections | one by one, /s | together, /s | ratio | p50 / p99 one by one, ms |"
          " p50 / p99 together, ms |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for model in given.get("models", "hgb,rf,columns").split(","):
        sent = folder / f"{model}.bodies"
        sent.write_bytes(b"\n".join(bodies(model, BODIES, seed=1)))
        for connections in given.get("connections", "1,16,64").split(","):
            one, many = (
                rate(folder, model, sent, int(connections), given.get("seconds", "5"), rows)
                for rows in ("1", "64")
            )
            print(f"| {model} | {connections} | {one['per_second']:,.0f} | {many['per_second']:,.0f} |"
                  f" {many['per_second'] / one['per_second']:.2f} |"
                  f" {one['p50_ms']:.1f} / {one['p99_ms']:.1f} |"
                  f" {many['p50_ms']:.1f} / {many['p99_ms']:.1f} |", flush=True)  # fmt: skip


def rate(
    folder: Path, model: str, sent: Path, connections: int, seconds: str, rows: str
) -> dict[str, float]:
    settings = {
        "TRIMTAB_OPTIMIZE__COMPACT": "false",
        "TRIMTAB_SERVE__MAX_WAIT_MS": "60000",
        f"TRIMTAB_MODELS__{model.upper()}__BATCH_ROWS": rows,
    }
    server = served(folder, model, sent, settings)
    try:
        loaded(server.asked, connections, "2")
        return loaded(server.asked, connections, seconds)
    finally:
        stopped(server.process)


if __name__ == "__main__":
    main(sys.argv[1:])
