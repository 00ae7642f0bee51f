from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trimtab.digests import digest_of
from trimtab.errors import InvalidInput, ModelFailure, NotFound, Refused
from trimtab.models.artifact import Formats
from trimtab.models.registry import LoadedModel, Registry, warm
from trimtab.models.trust import Trust
from trimtab.protocols import Predictor, StateStore
from trimtab.testing import FakeClock, FolderBlobs
from trimtab.types import (
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Scalar,
    Signature,
    Task,
    Version,
)


class Share:
    """Answers its only feature as the probability."""

    def predict(self, columns: Columns) -> FloatArray:
        positive = columns.arrays[0]
        return np.stack([1 - positive, positive], axis=1)


class TextFormat:
    """Files that begin with a word; in memory a model is a text."""

    def __init__(self, name: str, runs_code: bool) -> None:
        self.name = name
        self.runs_code = runs_code
        self.loads = 0

    def sniff(self, path: Path) -> bool:
        return path.read_text().startswith(self.name)

    def load(self, path: Path, signature: Signature) -> Predictor:  # noqa: ARG002
        self.loads += 1
        if "broken" in path.read_text():
            raise ValueError("broken file")
        return Share()

    def accepts(self, model: object) -> bool:
        return isinstance(model, str) and model.startswith(self.name)

    def save(self, model: object, path: Path) -> None:
        path.write_text(str(model))


@pytest.fixture
def code() -> TextFormat:
    return TextFormat("code", runs_code=True)


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return FolderBlobs(folder)


def registry_of(
    state: StateStore, blobs: FolderBlobs, code: TextFormat, allow_code: tuple[str, ...] = ()
) -> Registry:
    plain = TextFormat("plain", runs_code=False)
    formats = Formats({"plain": lambda: plain, "code": lambda: code})
    return Registry(state, blobs, Trust(frozenset(allow_code)), FakeClock(now=5.0), formats)


@pytest.fixture
def registry(state: StateStore, blobs: FolderBlobs, code: TextFormat) -> Registry:
    return registry_of(state, blobs, code)


def test_a_file_is_registered_with_all_its_facts(
    registry: Registry, signature: Signature, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    path.write_text("plain model")
    version = registry.register(
        "fraud",
        path,
        signature=signature,
        profile=b"profile",
        metrics={"roc_auc": 0.7},
        lineage={"data": "january"},
        author="ada",
        description="first",
        views=["user"],
    )
    assert version == Version(
        model="fraud",
        version=1,
        digest=digest_of(path),
        format="plain",
        size_bytes=11,
        signature=signature,
        created_at=5.0,
        author="ada",
        description="first",
        metrics={"roc_auc": 0.7},
        lineage={"data": "january"},
        profile_digest=version.profile_digest,
        views=("user",),
    )
    assert registry.profile(version) == b"profile"
    assert registry.get("fraud", 1) == version


def test_the_same_bytes_and_signature_are_the_same_version(
    registry: Registry, signature: Signature
) -> None:
    first = registry.register("fraud", "plain a", signature=signature)
    again = registry.register("fraud", "plain a", signature=signature, description="again")
    other = registry.register("fraud", "plain b", signature=signature)
    changed = Signature(features=signature.features, task=signature.task, threshold=0.9)
    third = registry.register("fraud", "plain a", signature=changed)
    elsewhere = registry.register("spam", "plain a", signature=signature)
    assert again == first
    assert [v.version for v in (first, other, third, elsewhere)] == [1, 2, 3, 1]
    assert [v.version for v in registry.list("fraud")] == [1, 2, 3]
    assert registry.models() == ["fraud", "spam"]


def test_other_views_make_another_version(registry: Registry, signature: Signature) -> None:
    first = registry.register("fraud", "plain a", signature=signature)
    second = registry.register("fraud", "plain a", signature=signature, views=("user", "shop"))
    again = registry.register("fraud", "plain a", signature=signature, views=("shop", "user"))
    assert (first.views, second.views, second.version) == ((), ("user", "shop"), 2)
    assert again == second


def test_vouching_later_makes_a_version_that_can_be_loaded(
    registry: Registry, signature: Signature
) -> None:
    first = registry.register("fraud", "code a", signature=signature)
    second = registry.register("fraud", "code a", signature=signature, trust="ada")
    assert (first.trusted_by, second.trusted_by, second.version) == ("", "ada", 2)
    assert registry.load(second).version == second


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "..", "a" * 64, "é", "a\n", "a:1"])
def test_a_malformed_name_is_refused(registry: Registry, signature: Signature, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        registry.register(name, "plain", signature=signature)
    assert (refused.value.code, refused.value.path) == ("invalid_name", "model")


@pytest.mark.parametrize("name", ["a", "9", "Fraud-2_b", "a" * 63])
def test_a_plain_name_is_taken(registry: Registry, signature: Signature, name: str) -> None:
    assert registry.register(name, "plain", signature=signature).model == name


def test_an_unknown_artifact_is_refused(
    registry: Registry, signature: Signature, tmp_path: Path
) -> None:
    (tmp_path / "odd").write_text("odd")
    for artifact in (tmp_path / "odd", object()):
        with pytest.raises(InvalidInput) as refused:
            registry.register("fraud", artifact, signature=signature)
        assert refused.value.code == "unknown_format"
    with pytest.raises(NotFound) as absent:
        registry.register("fraud", tmp_path / "none", signature=signature)
    assert absent.value.code == "no_such_file"


def test_versions_are_found_by_number_text_or_alias(
    registry: Registry, signature: Signature
) -> None:
    first = registry.register("fraud", "plain a", signature=signature)
    second = registry.register("fraud", "plain b", signature=signature)
    alias = registry.set_alias("fraud", "champion", 1, actor="ada", reason="best")
    assert (alias.version, alias.since, alias.actor, alias.reason) == (1, 5.0, "ada", "best")
    assert registry.get("fraud", "champion") == first
    assert registry.get("fraud", "2") == registry.get("fraud", 2) == second
    registry.set_alias("fraud", "champion", "2", actor="ada", reason="better")
    assert registry.get("fraud", "champion") == second
    assert [a.alias for a in registry.aliases("fraud")] == ["champion"]


def test_what_is_not_there_is_named_with_what_is(registry: Registry, signature: Signature) -> None:
    registry.register("fraud", "plain a", signature=signature)
    registry.set_alias("fraud", "champion", 1, actor="ada", reason="only")
    with pytest.raises(NotFound) as version:
        registry.get("fraud", "challenger")
    assert (version.value.code, version.value.hint) == ("unknown_version", "It has: 1, champion.")
    for find in (registry.list, lambda name: registry.get(name, 1)):
        with pytest.raises(NotFound) as model:
            find("spam")
        assert (model.value.code, model.value.hint) == ("unknown_model", "Registered: fraud.")


def test_an_alias_must_name_a_version_and_not_look_like_one(
    registry: Registry, signature: Signature
) -> None:
    registry.register("fraud", "plain a", signature=signature)
    with pytest.raises(InvalidInput):
        registry.set_alias("fraud", "7", 1, actor="ada", reason="")
    with pytest.raises(NotFound):
        registry.set_alias("fraud", "champion", 7, actor="ada", reason="")


def test_a_loaded_model_answers(registry: Registry, signature: Signature, columns: Columns) -> None:
    loaded = registry.load(registry.register("fraud", "plain a", signature=signature))
    assert loaded.predictor.predict(columns).tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_a_tampered_artifact_is_not_opened(
    registry: Registry, signature: Signature, blobs: FolderBlobs, code: TextFormat
) -> None:
    version = registry.register("fraud", "code a", signature=signature, trust="ada")
    blobs.path(version.digest).write_text("code evil")
    with pytest.raises(Refused):
        registry.load(version)
    assert code.loads == 0


@pytest.mark.parametrize(
    ("allow_code", "allowed"),
    [
        ((), False),
        (("spam",), False),
        (("fraud:2",), False),
        (("frau",), False),
        (("fraud",), True),
        (("fraud:1",), True),
    ],
)
def test_code_runs_only_where_it_is_allowed_by_name(
    allow_code: tuple[str, ...],
    allowed: bool,
    state: StateStore,
    blobs: FolderBlobs,
    code: TextFormat,
    signature: Signature,
) -> None:
    registry = registry_of(state, blobs, code, allow_code)
    version = registry.register("fraud", "code a", signature=signature)
    if allowed:
        registry.load(version)
    else:
        with pytest.raises(Refused) as refused:
            registry.load(version)
        assert refused.value.code == "untrusted_artifact"
        assert "fraud:1" in refused.value.hint
    assert code.loads == int(allowed)


def test_a_preview_answers_before_anything_is_registered(
    registry: Registry, signature: Signature, columns: Columns, tmp_path: Path, code: TextFormat
) -> None:
    path = tmp_path / "model"
    path.write_text("code a")
    with pytest.raises(Refused):
        registry.preview(path, signature)
    assert code.loads == 0
    for predictor in (
        registry.preview("code a", signature),
        registry.preview(path, signature, trust="ada"),
    ):
        assert predictor.predict(columns)[:, 1].tolist() == [0.25, 0.5]
    assert registry.models() == []


def test_an_artifact_that_cannot_be_opened_is_a_model_failure(
    registry: Registry, signature: Signature
) -> None:
    version = registry.register("fraud", "plain broken", signature=signature)
    with pytest.raises(ModelFailure) as failed:
        registry.load(version)
    assert failed.value.code == "model_unreadable"
    assert isinstance(failed.value.__cause__, ValueError)


class Recorder:
    """Remembers what it was asked, and may fail."""

    def __init__(self, error: ModelFailure | None = None) -> None:
        self.asked: list[Columns] = []
        self._error = error

    def predict(self, columns: Columns) -> FloatArray:
        self.asked.append(columns)
        if self._error is not None:
            raise self._error
        return np.zeros((columns.rows, 2))


def loaded_with(predictor: Predictor) -> LoadedModel:
    features = (
        FeatureSpec(name="x", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="a", kind=FeatureKind.CATEGORICAL),
        FeatureSpec(name="b", kind=FeatureKind.CATEGORICAL, nullable=True),
    )
    version = Version(
        model="m",
        version=1,
        digest="sha256:00",
        format="plain",
        size_bytes=1,
        signature=Signature(features=features, task=Task.BINARY),
        created_at=0.0,
    )
    return LoadedModel(version=version, predictor=predictor)


def test_warming_asks_for_one_made_up_row_and_bears_its_refusal() -> None:
    recorder = Recorder(ModelFailure("unknown category"))
    warm(loaded_with(recorder))
    (asked,) = recorder.asked
    assert [array.tolist() for array in asked.arrays] == [[0.0], [""], [None]]


class Quick(Recorder):
    """Has a short way for one row."""

    def one(self, values: Sequence[Scalar]) -> Sequence[float]:
        self.rows = list(values)
        return 0.0, 0.0


def test_warming_takes_the_short_way_too() -> None:
    quick = Quick()
    warm(loaded_with(quick))
    assert [0.0, "", None] == quick.rows


def test_warming_with_real_rows_fails_where_they_fail(columns: Columns) -> None:
    recorder = Recorder(ModelFailure("broken"))
    with pytest.raises(ModelFailure, match="broken"):
        warm(loaded_with(recorder), columns)
    assert recorder.asked == [columns]
