"""What is registered is compiled; the compiled form answers, and when it is refused the original does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from trimtab.cli.main import cli
from trimtab.config import Config, OptimizeConfig, StateConfig
from trimtab.errors import Refused
from trimtab.models.formats.compact import CompactPredictor
from trimtab.models.formats.compact_joblib import FrontedPredictor
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.schema import columns_from_frame
from trimtab.telemetry import Metrics
from trimtab.types import Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.serving import ModelBuilder, open_router

RNG = np.random.default_rng(11)
ROWS = 300
FRAME = pd.DataFrame(
    {
        "distance": RNG.normal(size=ROWS),
        "carrier": pd.Series(RNG.choice(np.array(["AA", "UA", "日本", None]), ROWS)),
        "seats": RNG.integers(1, 9, ROWS),
        "late": RNG.integers(0, 2, ROWS),
    }
)
FRAME.loc[::7, "distance"] = np.nan
X = FRAME.drop(columns="late")


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that nobody else knows."""

    def fit(self, X: Any, y: Any = None) -> Own:  # noqa: ARG002 - scikit-learn's signature
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X * 2


def fitted(*before: Any, last: Any = None) -> Any:
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            (make_pipeline(SimpleImputer(), *before, StandardScaler()), ["distance", "seats"]),
        ),
        LogisticRegression() if last is None else last,
    ).fit(X, FRAME.late)


def opened(folder: Path, *, compact: bool = True) -> Deployment:
    return Deployment.open(
        Config(state=StateConfig(dir=str(folder)), optimize=OptimizeConfig(compact=compact))
    )


def registered(deployment: Deployment, model: Any) -> Version:
    training = Training(reference=FRAME, holdout=FRAME, outcome="late", task=Task.BINARY)
    return register(deployment, "flights", model, training, author="ada", trust=True)


def kind(deployment: Deployment, version: Version) -> type:
    loaded: Any = deployment.registry.load(version).predictor
    return type(loaded._predictor)


def answers(deployment: Deployment, version: Version) -> Any:
    columns = columns_from_frame(version.signature, X)
    return deployment.registry.load(version).predictor.predict(columns)


def test_a_registered_pipeline_is_compiled_and_answers_as_it_did(tmp_path: Path) -> None:
    deployment, model = opened(tmp_path), fitted()
    version = registered(deployment, model)
    assert version.compact is not None
    assert (ROWS, ROWS) == (version.compact.rows, version.compact.equal)
    assert kind(deployment, version) is CompactPredictor
    assert np.array_equal(answers(deployment, version), model.predict_proba(X))
    kept = deployment.registry.get("flights", 1)
    assert kept == version
    assert type(deployment.registry.original(version)._predictor) is SklearnPredictor
    deployment.close()


@pytest.mark.parametrize("memory", [False, True])
def test_a_compiled_form_has_a_certificate(memory: bool, tmp_path: Path) -> None:
    deployment = opened(tmp_path)
    training = Training(reference=FRAME, holdout=FRAME[:240], outcome="late", task=Task.BINARY)
    version = register(
        deployment, "flights", fitted(), training, author="ada", trust=True, memory=memory
    )
    deployment.close()
    assert version.compact is not None
    found = version.compact.certificate
    assert found is not None
    assert (240, True, True, 0) == (found.rows, found.held_out, found.lossless, found.flips)
    assert 0.0 <= found.mean_abs <= found.max_abs < 1e-12
    assert ["roc_auc", "accuracy", "log_loss", "brier"] == [each.metric for each in found.metrics]
    assert all(each.low <= each.loss <= each.high for each in found.metrics)
    assert {"carrier"} == {each.column for each in found.segments}
    assert (version.digest, version.size_bytes) == (found.original, found.before.disk_bytes)
    assert version.compact.size_bytes == found.after.disk_bytes
    assert found.before.p50_us > found.after.p50_us > 0.0
    for costs in (found.before, found.after):
        assert memory == (costs.rss_bytes is not None) == (costs.pss_bytes is not None)
        assert (4 if memory else 1) == costs.workers
        assert min(costs.load_ms, costs.rows_per_s) > 0.0
    shown = CliRunner().invoke(cli, ["show", "flights", "1", "--state", str(tmp_path)])
    assert "240 held-out rows: outputs differ by at most" in shown.output
    assert memory == ("memory was not measured" not in shown.output)


@pytest.mark.parametrize(
    ("model", "own"),
    [
        (RandomForestClassifier(8, random_state=0), ()),
        (GradientBoostingClassifier(n_estimators=8, random_state=0), ()),
        (RandomForestClassifier(8, random_state=0), (Own(),)),
    ],
)
def test_a_certificate_counts_rows_that_took_another_path(
    model: Any, own: tuple[Any, ...], tmp_path: Path
) -> None:
    deployment = opened(tmp_path)
    version = registered(deployment, fitted(*own, last=model))
    deployment.close()
    assert version.compact is not None
    assert version.compact.certificate is not None
    assert version.compact.certificate.path_differences == 0
    shown = CliRunner().invoke(cli, ["show", "flights", "1", "--state", str(tmp_path)])
    assert "0 rows took another path" in " ".join(shown.output.split())


def test_an_unknown_transformer_stays_native_and_the_rest_is_compiled(tmp_path: Path) -> None:
    deployment, model = opened(tmp_path), fitted(Own())
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    version = registered(deployment, path)
    assert version.compact is not None
    assert ("compact_joblib", ROWS) == (version.compact.format, version.compact.equal)
    assert version.lineage["native_steps"] == "Own is not among the transformers compiled."
    assert kind(deployment, version) is FrontedPredictor
    assert np.array_equal(answers(deployment, version), model.predict_proba(X))
    untrusted = msgspec.structs.replace(version, trusted_by="")
    with pytest.raises(Refused) as refused:
        deployment.registry.load(untrusted)
    assert refused.value.code == "untrusted_artifact"
    deployment.close()


def test_native_steps_may_refuse_what_nobody_has_seen_and_no_log_tells_of_trials(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = opened(tmp_path)
    strict = make_column_transformer((OrdinalEncoder(), ["carrier"]), (Own(), ["distance"]))
    forest = RandomForestClassifier(8, random_state=0)
    model = make_pipeline(strict, forest).fit(X, FRAME.late)
    version = registered(deployment, model)
    assert version.compact is not None
    assert ("compact_joblib", ROWS) == (version.compact.format, version.compact.equal)
    assert caplog.records == []
    deployment.close()


def test_an_unknown_estimator_stays_native_and_says_so(tmp_path: Path) -> None:
    deployment = opened(tmp_path)
    model = make_pipeline(SimpleImputer(), GaussianNB()).fit(X[["distance"]], FRAME.late)
    training = Training(reference=FRAME[["distance", "late"]], outcome="late", task=Task.BINARY)
    version = register(deployment, "flights", model, training, author="ada", trust=True)
    assert version.compact is None
    assert version.lineage["not_compiled"] == "GaussianNB is not among the estimators compiled."
    assert kind(deployment, version) is SklearnPredictor
    deployment.close()


def test_a_changed_compiled_form_is_refused_counted_told_and_the_original_answers(
    tmp_path: Path,
) -> None:
    deployment, model = opened(tmp_path), fitted()
    version = registered(deployment, model)
    assert version.compact is not None
    path = deployment.blobs.fetch(version.compact.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    deployment.deploy("flights", 1, actor="ada", reason="first")
    with deployment.state.reading() as state:
        route = state.control.route("flights")
    assert route is not None
    metrics = Metrics()
    live = ModelBuilder(deployment, {}, metrics, open_router()).build(route)
    columns = columns_from_frame(version.signature, X)
    assert np.array_equal(live.champion.predictor.predict(columns), model.predict_proba(X))
    labels = {"model": "flights", "model_version": "1", "reason": "digest_mismatch"}
    assert 1.0 == metrics.registry.get_sample_value("ml_compact_refused_total", labels)
    with deployment.state.reading() as state:
        told = {each[0].key: each[1:] for each in state.alerts.alerts("flights")}
    assert (0, None) == told["compact/flights/1"]
    deployment.close()


def test_a_form_that_answers_its_probe_rows_otherwise_is_refused(tmp_path: Path) -> None:
    deployment, model = opened(tmp_path), fitted()
    version = registered(deployment, model)
    assert version.compact is not None
    path = deployment.blobs.fetch(version.compact.digest)
    data = path.read_bytes()
    length = int.from_bytes(data[8:16], "little")
    manifest = msgspec.msgpack.decode(data[16 : 16 + length])
    slopes = np.frombuffer(manifest["node"]["model"]["coefficients"], "<f8") + 1e-9
    manifest["node"]["model"]["coefficients"] = slopes.tobytes()
    changed = msgspec.msgpack.encode(manifest)
    (tmp_path / "changed").write_bytes(data[:8] + len(changed).to_bytes(8, "little") + changed)
    digest, _ = deployment.blobs.put(tmp_path / "changed")
    other = msgspec.structs.replace(
        version, compact=msgspec.structs.replace(version.compact, digest=digest)
    )
    loaded = deployment.registry.load(other)
    assert "probe_failed" == loaded.refused
    columns = columns_from_frame(version.signature, X)
    assert np.array_equal(loaded.predictor.predict(columns), model.predict_proba(X))
    deployment.close()


def test_serving_a_compiled_form_opens_no_pickle(tmp_path: Path) -> None:
    deployment = opened(tmp_path)
    path = tmp_path / "model.joblib"
    joblib.dump(fitted(), path)
    version = registered(deployment, path)
    untrusted = msgspec.structs.replace(version, trusted_by="")
    assert kind(deployment, untrusted) is CompactPredictor
    with pytest.raises(Refused) as refused:
        deployment.registry.original(untrusted)
    assert refused.value.code == "untrusted_artifact"
    deployment.close()


def test_the_setting_turns_compiled_forms_off(tmp_path: Path) -> None:
    off = opened(tmp_path / "a", compact=False)
    assert registered(off, fitted()).compact is None
    off.close()
    on = opened(tmp_path / "b")
    version = registered(on, fitted())
    on.close()
    again = opened(tmp_path / "b", compact=False)
    assert kind(again, version) is SklearnPredictor
    again.close()


def test_a_truncated_artifact_never_does_more_than_refuse(tmp_path: Path) -> None:
    deployment = opened(tmp_path)
    version = registered(deployment, fitted())
    assert version.compact is not None
    whole = deployment.blobs.fetch(version.compact.digest).read_bytes()
    from_format = deployment.registry._formats.named("compact")
    assert isinstance(
        from_format.load(deployment.blobs.fetch(version.compact.digest), version.signature),
        CompactPredictor,
    )
    for size in range(0, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(Refused):
            from_format.load(tmp_path / "cut", version.signature)
    deployment.close()
