"""Makes one model compact: ``convert_one.py NAME MODEL TARGET``; prints what it took."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from trimtab.compact import Forest, pack
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.convert.lightgbm import from_text


def main(name: str, model: Path, target: Path) -> None:
    started = time.perf_counter()
    if name == "lightgbm":
        data = pack(from_text(model.read_text()))
    elif name == "xgboost":
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(model.read_bytes()))
        data = pack(ensemble_of(booster))
    else:
        import joblib

        data = pack(ensemble_of(joblib.load(model)))
    with target.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # pages not written yet would count as each worker's own
    seconds = time.perf_counter() - started
    forest = Forest.open(target)
    print(
        f"{name}: {model.stat().st_size / 1e6:.1f} MB file -> {forest.size_bytes / 1e6:.1f} MB, "
        f"{forest.trees} trees, {forest.inner_nodes} inner nodes, "
        f"{forest.size_bytes / (2 * forest.inner_nodes + forest.trees):.2f} bytes a node, "
        f"loaded, converted and written in {seconds:.1f} s"
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
