"""Every built-in model format against its law suite, with real models; and law 12 with a real pickle."""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import catboost
import joblib
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
)

from trimtab.errors import InvalidInput, ModelFailure, Refused
from trimtab.models.artifact import Formats
from trimtab.models.formats.callable_format import CallableFormat
from trimtab.models.formats.catboost import CatboostFormat
from trimtab.models.formats.compact import CompactFormat
from trimtab.models.formats.compact_joblib import CompactJoblibFormat
from trimtab.models.formats.lightgbm import LightgbmFormat
from trimtab.models.formats.mlflow import MlflowFormat
from trimtab.models.formats.onnx import OnnxFormat
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.models.formats.sklearn_joblib import JoblibFormat
from trimtab.models.formats.skops_format import SkopsFormat
from trimtab.models.formats.xgboost import XgboostFormat
from trimtab.models.registry import Registry
from trimtab.models.trust import Trust
from trimtab.optimize.compact import compact
from trimtab.protocols import ModelFormat
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.testing import FakeClock, FolderBlobs, RegistryState, check_model_format
from trimtab.types import Array, FloatArray, Signature, Task

# What MLflow tells about its own classes when it is imported, and about every pyfunc without hints.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict`:UserWarning"),
]

RNG = np.random.default_rng(7)
ROWS = 120
MIXED = pd.DataFrame(
    {
        "distance": RNG.normal(size=ROWS),
        "carrier": pd.Series(RNG.choice(np.array(["AA", "UA", None]), ROWS)),
        "seats": RNG.integers(1, 9, ROWS),
        "holiday": RNG.random(ROWS) > 0.5,
    }
)
MIXED.loc[::7, "distance"] = np.nan
NUMBERS = pd.DataFrame(RNG.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
GAPS = NUMBERS.mask(RNG.random(NUMBERS.shape) < 0.2)
CATEGORIES = MIXED.assign(carrier=MIXED.carrier.astype("category"))
FULL = pd.DataFrame({"a": NUMBERS.a, "carrier": MIXED.carrier.fillna("none")})
LATE = (MIXED.seats > 4).astype(int).to_numpy()
THREE = np.array(["early", "late", "never"])[MIXED.seats % 3]
FEW: Any = {"iterations": 5, "verbose": False, "allow_writing_files": False, "thread_count": 1}
QUIET: Any = {"n_estimators": 5, "verbose": -1, "n_jobs": 1}


@dataclass(frozen=True)
class Case:
    """A fitted model, the frame that it was fitted on, and what it answers for a frame."""

    file_format: ModelFormat
    model: Any
    frame: pd.DataFrame
    answer: Callable[[pd.DataFrame], Any]
    task: Task = Task.BINARY
    labels: tuple[str, ...] = ()
    tolerance: float = 1e-12


def pipeline() -> Any:
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            (SimpleImputer(), ["distance"]),
            remainder="passthrough",
        ),
        LogisticRegression(max_iter=1000),
    ).fit(MIXED, LATE)


def boosted() -> Any:
    return make_pipeline(
        make_column_transformer(
            (
                OrdinalEncoder(
                    handle_unknown="use_encoded_value",
                    unknown_value=np.nan,
                    encoded_missing_value=np.nan,
                ),
                ["carrier"],
            ),
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=5),
    ).fit(MIXED, LATE)


def two(positive: Array) -> FloatArray:
    wide = np.asarray(positive, dtype=np.float64)
    return np.stack([1 - wide, wide], axis=1)


def half(columns: Mapping[str, Array]) -> Array:
    """What the callable format's case calls."""
    answer: Array = 1 / (1 + np.exp(-np.nan_to_num(columns["a"])))
    return answer


def of_sklearn(file_format: ModelFormat) -> list[Case]:
    linear, trees = pipeline(), boosted()
    by_type = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5)
    by_type.fit(CATEGORIES, LATE)
    classes = LogisticRegression(max_iter=1000).fit(NUMBERS, THREE)
    line = LinearRegression().fit(NUMBERS.to_numpy(), NUMBERS.a)
    return [
        Case(file_format, linear, MIXED, linear.predict_proba, labels=("early", "late")),
        Case(file_format, trees, MIXED, trees.predict_proba),
        Case(file_format, by_type, CATEGORIES, by_type.predict_proba),
        Case(
            file_format,
            classes,
            NUMBERS,
            classes.predict_proba,
            Task.MULTICLASS,
            ("early", "late", "never"),
        ),
        Case(
            file_format,
            line,
            NUMBERS,
            lambda frame: line.predict(frame.to_numpy())[:, None],
            Task.REGRESSION,
        ),
    ]


def of_lightgbm() -> list[Case]:
    late = lightgbm.LGBMClassifier(**QUIET).fit(CATEGORIES, LATE)
    three = lightgbm.LGBMClassifier(**QUIET).fit(GAPS, THREE)
    value = lightgbm.LGBMRegressor(**QUIET).fit(GAPS, NUMBERS.a)
    kind, labels = LightgbmFormat(), ("early", "late", "never")
    return [
        Case(kind, late, CATEGORIES, late.predict_proba),
        Case(kind, late.booster_, CATEGORIES, late.predict_proba),
        Case(kind, three, GAPS, three.predict_proba, Task.MULTICLASS, labels),
        Case(
            kind,
            value,
            GAPS,
            lambda frame: np.asarray(value.predict(frame))[:, None],
            Task.REGRESSION,
        ),
    ]


def of_xgboost() -> list[Case]:
    late = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, enable_categorical=True).fit(
        CATEGORIES, LATE
    )
    three = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(GAPS, MIXED.seats % 3)
    value = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(GAPS, NUMBERS.a)
    kind, labels = XgboostFormat(), ("early", "late", "never")
    return [
        Case(kind, late, CATEGORIES, late.predict_proba, tolerance=1e-6),
        Case(kind, late.get_booster(), CATEGORIES, late.predict_proba, tolerance=1e-6),
        Case(kind, three, GAPS, three.predict_proba, Task.MULTICLASS, labels, 1e-6),
        Case(kind, value, GAPS, lambda f: value.predict(f)[:, None], Task.REGRESSION, (), 1e-6),
    ]


def of_catboost() -> list[Case]:
    full = MIXED.assign(carrier=MIXED.carrier.fillna("none"))
    late = catboost.CatBoostClassifier(**FEW).fit(full, LATE, cat_features=["carrier", "seats"])
    three = catboost.CatBoostClassifier(**FEW).fit(GAPS.to_numpy(), THREE)
    value = catboost.CatBoostRegressor(**FEW).fit(GAPS, NUMBERS.a)
    kind, labels = CatboostFormat(), ("early", "late", "never")
    return [
        Case(kind, late, full, late.predict_proba),
        Case(
            kind, three, GAPS, lambda f: three.predict_proba(f.to_numpy()), Task.MULTICLASS, labels
        ),
        Case(kind, value, GAPS, lambda f: value.predict(f)[:, None], Task.REGRESSION),
    ]


FOLDERS = mkdtemp(prefix="trimtab-test-mlflow-")
atexit.register(rmtree, FOLDERS)
PYFUNC = """
import mlflow
import numpy as np


class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {answer}


mlflow.models.set_model(Own())
"""


def pyfunc(name: str, answer: str) -> Path:
    """A folder with a model that is its own source."""
    source, folder = Path(FOLDERS, f"{name}.py"), Path(FOLDERS, name)
    source.write_text(PYFUNC.format(answer=answer))
    mlflow.pyfunc.save_model(folder, python_model=str(source), pip_requirements=["mlflow"])
    return folder


def of_mlflow() -> list[Case]:
    late = lightgbm.LGBMClassifier(**QUIET).fit(GAPS, LATE)
    faced = Path(FOLDERS, "faced")
    mlflow.lightgbm.save_model(late, faced, pip_requirements=["lightgbm"])
    kind = MlflowFormat()
    return [
        Case(
            kind,
            pyfunc("one", "1 / (1 + np.exp(-model_input.distance.fillna(0) - model_input.seats))"),
            MIXED,
            lambda f: two(1 / (1 + np.exp(-f.distance.fillna(0).to_numpy() - f.seats.to_numpy()))),
        ),
        Case(
            kind,
            pyfunc("value", "model_input[['a']] * 2"),
            NUMBERS,
            lambda f: f[["a"]].to_numpy() * 2,
            Task.REGRESSION,
        ),
        Case(kind, faced, GAPS, late.predict_proba),
    ]


def of_onnx() -> list[Case]:
    trees = RandomForestClassifier(5, random_state=0).fit(NUMBERS.to_numpy(), LATE)
    line = LinearRegression().fit(NUMBERS.to_numpy(), NUMBERS.b)
    words = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(FULL, LATE)
    plain = {"zipmap": False}
    array, frame = NUMBERS.to_numpy(dtype=np.float32)[:1], FULL.astype({"a": np.float32})[:1]
    kind = OnnxFormat()
    return [
        Case(
            kind,
            to_onnx(trees, array, options=plain),
            NUMBERS,
            lambda rows: trees.predict_proba(rows.to_numpy(dtype=np.float32)),
            tolerance=1e-6,
        ),
        Case(
            kind,
            to_onnx(line, array),
            NUMBERS,
            lambda rows: line.predict(rows.to_numpy())[:, None],
            Task.REGRESSION,
            (),
            1e-5,
        ),
        Case(
            kind,
            to_onnx(words, frame, options=plain),
            FULL,
            words.predict_proba,
            tolerance=1e-6,
        ),
    ]


def of_callable() -> list[Case]:
    return [
        Case(
            CallableFormat(),
            "trimtab_conformance_model:half",
            GAPS,
            lambda frame: two(half({"a": frame.a.to_numpy()})),
        )
    ]


def of_compact() -> list[Case]:
    made = []
    for case in of_sklearn(JoblibFormat()):
        signature = infer_signature(case.frame, task=case.task, labels=case.labels)
        rows = columns_from_frame(signature, case.frame)
        attempt = compact(case.model, signature, SklearnPredictor(case.model, signature), rows)
        if attempt.artifact is not None:
            made.append(replace(case, file_format=CompactFormat(), model=attempt.artifact))
    assert len(made) >= 3
    return made


def of_compact_joblib() -> list[Case]:
    model = make_pipeline(
        make_column_transformer((SimpleImputer(), ["distance"]), ("passthrough", ["seats"])),
        PowerTransformer(),
        LogisticRegression(),
    ).fit(MIXED, LATE)
    signature = infer_signature(MIXED, task=Task.BINARY)
    rows, served = columns_from_frame(signature, MIXED), SklearnPredictor(model, signature)
    attempt = compact(model, signature, served, rows, before_last=served.before_last)
    return [Case(CompactJoblibFormat(), attempt.artifact, MIXED, model.predict_proba)]


MAKERS: dict[str, Callable[[], list[Case]]] = {
    "joblib": lambda: of_sklearn(JoblibFormat()),
    "skops": lambda: of_sklearn(SkopsFormat()),
    "lightgbm": of_lightgbm,
    "xgboost": of_xgboost,
    "mlflow": of_mlflow,
    "onnx": of_onnx,
    "callable": of_callable,
    "catboost": of_catboost,
    "compact": of_compact,
    "compact_joblib": of_compact_joblib,
}


@cache
def cases(name: str) -> list[Case]:
    """The cases of a format; its models are fitted once."""
    return MAKERS[name]()


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the user's, as if installed."""
    (tmp_path / "trimtab_conformance_model.py").write_text(
        "import numpy as np\n\n\ndef half(columns):\n"
        "    return 1 / (1 + np.exp(-np.nan_to_num(columns['a'])))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


# scikit-learn swaps the process's warning filters on every call of a ColumnTransformer, which threads
# can catch half-done; it then warns about itself.
@pytest.mark.filterwarnings("ignore:`sklearn.utils.parallel.delayed`:UserWarning")
@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("name", MAKERS)
def test_the_format_keeps_its_laws(name: str, tmp_path: Path) -> None:
    for number, case in enumerate(cases(name)):
        signature = infer_signature(case.frame, task=case.task, labels=case.labels)
        some = case.frame.head(24)
        folder = tmp_path / str(number)
        folder.mkdir()
        check_model_format(
            case.file_format,
            case.model,
            signature,
            columns_from_frame(signature, some),
            folder,
            expected=case.answer(some),
            tolerance=case.tolerance,
        )


@pytest.mark.parametrize("name", MAKERS)
def test_no_format_takes_the_files_of_another(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    case = cases(name)[0]
    case.file_format.save(case.model, path)
    assert Formats(BUILT_IN).sniff(path) == name
    assert [other for other, make in BUILT_IN.items() if make().sniff(path)] == [name]


BUILT_IN: dict[str, Callable[[], ModelFormat]] = {
    "joblib": JoblibFormat,
    "skops": SkopsFormat,
    "lightgbm": LightgbmFormat,
    "xgboost": XgboostFormat,
    "mlflow": MlflowFormat,
    "onnx": OnnxFormat,
    "callable": CallableFormat,
    "catboost": CatboostFormat,
    "compact": CompactFormat,
    "compact_joblib": CompactJoblibFormat,
}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return Registry(RegistryState(), FolderBlobs(folder), Trust(), FakeClock(), Formats(BUILT_IN))


def numbers() -> Signature:
    return infer_signature(NUMBERS, task=Task.BINARY)


class Bomb:
    """Pickled, it writes a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self._mark, "ran")


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3)])
def test_a_malicious_pickle_is_registered_but_never_opened(
    compress: Any, registry: Registry, tmp_path: Path
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "model"
    joblib.dump(Bomb(mark), path, compress=compress)
    version = registry.register("fraud", path, signature=numbers())
    assert version.format == "joblib"
    with pytest.raises(Refused) as refused:
        registry.load(version)
    assert refused.value.code == "untrusted_artifact"
    with pytest.raises(Refused):
        registry.preview(path, numbers())
    assert not mark.exists()
    joblib.load(path)
    assert mark.exists()  # the bomb was live


def test_a_skops_file_with_a_type_that_nobody_reviewed_is_refused(
    registry: Registry, tmp_path: Path
) -> None:
    model = make_pipeline(FunctionTransformer(np.abs), LogisticRegression()).fit(NUMBERS, LATE)
    model.steps[0][1].func = pickle.loads
    SkopsFormat().save(model, tmp_path / "model")
    version = registry.register("fraud", tmp_path / "model", signature=numbers())
    with pytest.raises(Refused) as refused:
        registry.load(version)
    assert refused.value.code == "untrusted_types"
    assert not SkopsFormat().accepts(model)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (FULL.assign(carrier=MIXED.carrier), "'carrier' may be missing"),
        (FULL.assign(carrier=FULL.a), "learned 'carrier' as a category"),
        (FULL.assign(a=FULL.carrier), "learned 'a' as a number"),
        (FULL.rename(columns={"a": "b"}), "takes ['a', 'carrier']"),
    ],
)
def test_catboost_is_refused_a_signature_that_it_cannot_serve(
    frame: pd.DataFrame, says: str, registry: Registry
) -> None:
    model = catboost.CatBoostClassifier(**FEW).fit(FULL, LATE, cat_features=["carrier"])
    with pytest.raises(InvalidInput) as refused:
        registry.preview(model, infer_signature(frame, task=Task.BINARY))
    assert refused.value.code == "signature_mismatch"
    assert says in str(refused.value)


def test_catboost_on_texts_is_refused(registry: Registry) -> None:
    texts = FULL.assign(carrier=["late again " + str(n % 3) for n in range(ROWS)])
    model = catboost.CatBoostClassifier(**FEW).fit(texts, LATE, text_features=["carrier"])
    with pytest.raises(InvalidInput, match="texts or embeddings"):
        registry.preview(model, infer_signature(texts, task=Task.BINARY))


def test_a_folder_of_mlflow_is_kept_as_its_native_file_where_that_is_the_model(
    registry: Registry, tmp_path: Path
) -> None:
    line = LogisticRegression(max_iter=1000).fit(NUMBERS, LATE)
    trees = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(NUMBERS, LATE)
    mlflow.sklearn.save_model(line, tmp_path / "line", pip_requirements=["scikit-learn"])
    mlflow.xgboost.save_model(trees, tmp_path / "trees", pip_requirements=["xgboost"])
    kept = [
        registry.register(name, tmp_path / name, signature=numbers()) for name in ("line", "trees")
    ]
    assert [version.format for version in kept] == ["skops", "xgboost"]
    rows = columns_from_frame(numbers(), NUMBERS)
    assert np.array_equal(
        registry.load(kept[0]).predictor.predict(rows), line.predict_proba(NUMBERS)
    )


def test_a_folder_of_mlflow_with_code_is_opened_for_somebody_who_vouches(
    registry: Registry,
) -> None:
    folder = pyfunc("vouched", "model_input.a * 0 + 0.25")
    with pytest.raises(Refused) as refused:
        registry.preview(folder, numbers())
    assert refused.value.code == "untrusted_artifact"
    first = registry.register("own", folder, signature=numbers(), trust="ada")
    again = registry.register("own", folder, signature=numbers(), trust="ada")
    assert (first.format, again.version) == ("mlflow", first.version)
    answer = registry.load(first).predictor.predict(columns_from_frame(numbers(), NUMBERS))
    assert answer.tolist() == [[0.75, 0.25]] * ROWS


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("flavors: {xgboost: {data: model.ubj}}", "names 'model.ubj', which is no file"),
        ("flavors: {xgboost: {data: ../../secret}}", "which is no file in the folder"),
        ("flavors: 3", "names no flavors"),
        ("{", "is not YAML"),
    ],
)
def test_a_malformed_folder_of_mlflow_is_refused(
    told: str, says: str, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text(told)
    with pytest.raises(InvalidInput, match="MLmodel") as refused:
        registry.register("own", folder, signature=numbers())
    assert refused.value.code == "artifact_malformed"
    assert says in str(refused.value)


def test_a_pyfunc_that_answers_classes_is_told_so(registry: Registry) -> None:
    folder = pyfunc("classes", "(model_input.a > 0).astype(int)")
    version = registry.register("own", folder, signature=numbers(), trust="ada")
    with pytest.raises(ModelFailure, match=r"answers classes .* where probabilities are wanted"):
        registry.load(version).predictor.predict(columns_from_frame(numbers(), NUMBERS))


def test_a_folder_that_is_no_model_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        registry.register("own", tmp_path, signature=numbers())
    assert refused.value.code == "unknown_format"


class OwnEstimator(BaseEstimator):  # type: ignore[misc]
    """Not one of scikit-learn's."""


def test_a_model_in_memory_is_kept_without_code_where_that_is_possible(
    registry: Registry,
) -> None:
    known = registry.register("a", pipeline(), signature=infer_signature(MIXED, task=Task.BINARY))
    own = registry.register("b", OwnEstimator(), signature=numbers())
    booster = lightgbm.LGBMClassifier(**QUIET).fit(NUMBERS, LATE)
    native = registry.register("c", booster, signature=numbers())
    assert [version.format for version in (known, own, native)] == ["skops", "joblib", "lightgbm"]


@pytest.mark.parametrize("name", ["skops", "lightgbm", "xgboost", "catboost", "onnx"])
def test_a_truncated_file_is_a_clear_failure(name: str, registry: Registry, tmp_path: Path) -> None:
    case = cases(name)[0]
    path = tmp_path / "model"
    case.file_format.save(case.model, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    signature = infer_signature(case.frame, task=case.task, labels=case.labels)
    version = registry.register("fraud", path, signature=signature, file_format=name)
    with pytest.raises(ModelFailure) as failed:
        registry.load(version)
    assert failed.value.code == "model_unreadable"
