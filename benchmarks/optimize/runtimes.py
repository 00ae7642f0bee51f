"""One runtime, in a process of its own: ``runtimes.py RUNTIME MODEL ROWS ANSWERS`` prints JSON.

Without the last two it only makes what the runtime keeps beside the model, which takes minutes for some.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Answer = Callable[[Any], Any]


def trimtab(path: Path) -> Answer:
    from trimtab.compact import Forest

    return Forest.open(path).predict


def sklearn(path: Path) -> Answer:
    import joblib

    model = joblib.load(path)
    return model.predict_proba


def sklearn_trees(path: Path) -> Answer:
    """Its trees' C routine called without its thread pool and checks."""
    import joblib

    model = joblib.load(path)
    trees = [estimator.tree_ for estimator in model.estimators_]

    def answer(X: Any) -> Any:
        rows = X.astype(np.float32)
        total = trees[0].predict(rows)
        for tree in trees[1:]:
            total += tree.predict(rows)
        return total / len(trees)

    return answer


def onnx_bytes(path: Path) -> bytes:
    if path.stem in {"lightgbm", "xgboost"}:
        from onnxmltools import convert_lightgbm, convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        shape = [("X", FloatTensorType([None, 30]))]
        if path.stem == "lightgbm":
            import lightgbm

            booster = lightgbm.Booster(model_file=path)
            made = convert_lightgbm(booster, initial_types=shape, zipmap=False)
        else:
            import xgboost

            booster = xgboost.Booster()
            booster.load_model(bytearray(path.read_bytes()))
            made = convert_xgboost(booster, initial_types=shape)
        return bytes(made.SerializeToString())
    import joblib
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = joblib.load(path)
    shape = [("X", FloatTensorType([None, 30]))]
    made = convert_sklearn(model, initial_types=shape, options={id(model): {"zipmap": False}})
    return bytes(made.SerializeToString())


def onnxruntime(path: Path) -> Answer:
    import onnxruntime as runtime

    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = runtime.InferenceSession(path.with_suffix(".onnx"), settings)
    return lambda X: session.run(None, {"X": X.astype(np.float32)})[1]


def treelite(path: Path) -> Answer:
    import treelite

    model = treelite.Model.deserialize(path.with_suffix(".treelite"))
    return lambda X: treelite.gtil.predict(model, X, nthread=1)[:, 0, :]


def tl2cgen(path: Path) -> Answer:
    import tl2cgen

    predictor = tl2cgen.Predictor(path.with_suffix(".so"), nthread=1)
    kind = np.float32 if path.stem == "xgboost" else np.float64
    return lambda X: predictor.predict(tl2cgen.DMatrix(X.astype(kind, copy=False)))[:, 0, :]


def lleaves(path: Path) -> Answer:
    import lleaves

    model = lleaves.Model(model_file=str(path))
    model.compile(cache=str(path.with_suffix(".lleaves")))
    return lambda X: model.predict(X, n_jobs=1)


def daal4py(path: Path) -> Answer:
    import daal4py

    daal4py.daalinit(1)
    if path.stem == "lightgbm":
        import lightgbm as library

        booster = library.Booster(model_file=path)
    else:
        import xgboost as library

        booster = library.Booster()
        booster.load_model(bytearray(path.read_bytes()))
    model = daal4py.mb.convert_model(booster)
    return model.predict_proba if hasattr(model, "predict_proba") else model.predict


def lightgbm(path: Path) -> Answer:
    import lightgbm as library

    booster = library.Booster(model_file=path)
    return lambda X: booster.predict(X, num_threads=1)


def xgboost(path: Path) -> Answer:
    import xgboost as library

    booster = library.Booster({"nthread": 1})
    booster.load_model(bytearray(path.read_bytes()))
    booster.set_param({"nthread": 1})
    return booster.inplace_predict


def prepare(runtime: str, path: Path) -> None:
    """What is made once from the model and kept beside it; not counted."""
    if runtime == "onnxruntime" and not path.with_suffix(".onnx").exists():
        path.with_suffix(".onnx").write_bytes(onnx_bytes(path))
    if runtime in {"treelite", "tl2cgen"} and not path.with_suffix(".treelite").exists():
        import treelite as library

        if path.stem == "lightgbm":
            model = library.frontend.load_lightgbm_model(path)
        elif path.stem == "xgboost":
            model = library.frontend.load_xgboost_model(path, format_choice="json")
        else:
            import joblib

            model = library.sklearn.import_model(joblib.load(path))
        model.serialize(path.with_suffix(".treelite"))
    if runtime == "tl2cgen" and not path.with_suffix(".so").exists():
        import tl2cgen as library
        import treelite

        library.export_lib(
            treelite.Model.deserialize(path.with_suffix(".treelite")),
            toolchain="gcc",
            libpath=path.with_suffix(".so"),
            params={"parallel_comp": 8},
        )
    if runtime == "lleaves" and not path.with_suffix(".lleaves").exists():
        lleaves(path)


def resident_mb() -> float:
    """Of this process, after what was freed has gone back to the system."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def single_row_us(answer: Answer, X: Any) -> float:
    for place in range(50):
        answer(X[place : place + 1])
    times = []
    until = time.perf_counter() + 1.5
    for place in range(50, len(X)):
        row = X[place : place + 1]
        started = time.perf_counter()
        answer(row)
        times.append(time.perf_counter() - started)
        if times[-1] + started > until:
            break
    return statistics.median(times) * 1e6


def rows_per_second(answer: Answer, X: Any) -> float:
    best = 0.0
    until = time.perf_counter() + 2.5
    while time.perf_counter() < until or not best:
        started = time.perf_counter()
        answer(X)
        best = max(best, len(X) / (time.perf_counter() - started))
    return best


def main(runtime: str, path: Path, rows: Path, answers: Path) -> None:
    X = np.load(rows)
    make = globals()[runtime.replace("-", "_")]
    prepare(runtime, path)
    warm(runtime)
    before = resident_mb()
    started = time.perf_counter()
    answer = make(path)
    loaded = (time.perf_counter() - started) * 1e3
    answer(X[:1])
    after = resident_mb()
    figures = {
        "rss_mb": max(after - before, 0.01),
        "load_ms": loaded,
        "row_us": single_row_us(answer, X),
        "rows_per_second": rows_per_second(answer, X[:5000]),
    }
    outputs = np.asarray(answer(X[:5000]), np.float64)
    np.save(answers, outputs if outputs.ndim == 1 else outputs[:, -1])
    print(json.dumps(figures))


def warm(runtime: str) -> None:
    """Imports, before anything is measured."""
    modules = {
        "trimtab": ("trimtab.compact",),
        "sklearn": ("sklearn.ensemble", "joblib"),
        "sklearn-trees": ("sklearn.ensemble", "joblib"),
    }
    for name in modules.get(runtime, (runtime,)):
        __import__(name)
    if runtime == "daal4py":
        __import__("lightgbm")
        __import__("xgboost")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        prepare(sys.argv[1], Path(sys.argv[2]))
    else:
        main(sys.argv[1], *map(Path, sys.argv[2:]))
