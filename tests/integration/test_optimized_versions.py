"""An optimised form becomes the next version, and answers from the registry as it was certified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trimtab.cli.main import cli
from trimtab.config import Config, StateConfig
from trimtab.optimize.budget import parse_budget
from trimtab.optimize.forms import NativeForm
from trimtab.optimize.planner import Planner
from trimtab.optimize.steps.compact import Compact
from trimtab.optimize.steps.prune import Prune
from trimtab.schema import columns_from_frame
from trimtab.types import Certificate, Footprint, Ground, ModelFile, Rows, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.optimizing import Held, register_form, version_source, write_form
from trimtab.wiring.registration import Training, register

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(900, 4))
Y = (X[:, 0] * X[:, 1] + RANDOM.normal(size=900) > 0).astype(np.int64)
FRAME = pa.table({**{name: X[:, at] for at, name in enumerate("abcd")}, "late": Y})


def by_size(files: Sequence[ModelFile], rows: Any, **_: Any) -> list[Footprint]:
    assert len(rows) > 0
    return [
        Footprint(
            disk_bytes=file.disk_bytes, rss_bytes=file.disk_bytes, pss_bytes=None, workers=4,
            load_ms=1.0, p50_us=9.0, p99_us=9.0, rows_per_s=1e5,
        )
        for file in files
    ]  # fmt: skip


@pytest.mark.parametrize(("budget", "lossless"), [("", True), ("max_abs<=0.5", False)])
def test_a_form_is_registered_with_its_parent_and_its_certificate(
    budget: str, lossless: bool, tmp_path: Path
) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(16, random_state=0))
    model.fit(FRAME.select(list("abcd")).to_pandas()[:300], Y[:300])
    deployment = Deployment.open(Config(state=StateConfig(dir=str(tmp_path / "state"))))
    training = Training(reference=FRAME.slice(0, 300), outcome="late", task=Task.BINARY)
    parent = register(deployment, "late", model, training, author="ada", trust=True)
    source, held = version_source(deployment, "late", "1"), Held(frame=FRAME.slice(300))
    columns = columns_from_frame(source.signature, held.frame)
    rows = Rows(X=source.predictor.rows(columns), outcomes=Y[300:])
    ground = Ground(task=Task.BINARY, fit=rows, choose=rows, certify=rows)
    planner = Planner(ground, parse_budget(budget), [Compact(), Prune()], measure=by_size)
    original = NativeForm(source.predictor.original)
    plan, form = planner.plan(original, digest=source.digest, now=0.0)
    assert form is not None
    version = register_form(deployment, parent, source, held, form, plan, author="ada")
    assert (2, "compact", "v1", "") == (
        version.version, version.format, version.lineage["parent"], version.trusted_by,
    )  # fmt: skip
    kept = deployment.version("late", 2)
    assert kept.certificate == plan.certificate
    assert kept.certificate is not None
    assert (lossless, 0 if lossless else None) == (
        kept.certificate.lossless, kept.certificate.path_differences,
    )  # fmt: skip
    answers = deployment.registry.load(kept).predictor.predict(columns)
    np.testing.assert_array_equal(answers, form.outputs(rows.X))
    write_form(source, held, form, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size == kept.size_bytes
    beside = tmp_path / "native.certificate.json"
    written = write_form(source, held, original, tmp_path / "native", plan.certificate)
    assert [tmp_path / "native", beside] == written
    assert plan.certificate == msgspec.json.decode(beside.read_bytes(), type=Certificate)
    deployment.close()
    shown = CliRunner().invoke(cli, ["show", "late", "2", "--state", str(tmp_path / "state")])
    assert "certified" in shown.output
    assert ("lossless" if lossless else budget) in shown.output
