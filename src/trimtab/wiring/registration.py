"""A model becomes a version: signature, reference profile, held-out metrics, digest, lineage."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import narwhals as nw
import numpy as np

from trimtab import plugins
from trimtab.config import PerformanceConfig
from trimtab.drift.importance import permutation_importance
from trimtab.drift.profile import build_profile
from trimtab.drift.segments import build_segments, dump_segments
from trimtab.errors import InvalidConfig, InvalidInput
from trimtab.features.views import compile_plan
from trimtab.models.guard import Guarded
from trimtab.models.registry import Compiled
from trimtab.models.trust import Sealer
from trimtab.performance import HeldOut, evaluate, make_promise
from trimtab.protocols import Predictor
from trimtab.rollout import audit
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Array, Columns, CompactForm, FloatArray, Record, Signature, Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.performance import performance_config
from trimtab.wiring.references import SEGMENTS_DIGEST
from trimtab.wiring.views import served_features, versions_of

if TYPE_CHECKING:
    from trimtab.optimize.compact import Attempt

BLOCKS = 20
DAY = 86_400.0


class Training(Record, frozen=True):
    """What a version is registered with.

    ``reference`` is a frame (pandas, polars or Arrow) of the rows that the model was trained on, and
    ``holdout`` one of rows that it was not. ``outcome`` and ``time`` name their columns of outcomes
    (classes by label or index, or values) and Unix seconds, ``request`` that of what tells which rows
    were ranked together; ``ignore`` names further columns that are no features.
    """

    reference: Any
    task: Task
    outcome: str | None = None
    time: str | None = None
    request: str | None = None
    holdout: Any = None
    labels: tuple[str, ...] = ()
    threshold: float = 0.5
    units: Mapping[str, str] = {}
    ignore: tuple[str, ...] = ()


def register(  # noqa: PLR0913 - each is a fact of the version
    deployment: Deployment,
    model: str,
    artifact: object,
    training: Training,
    *,
    author: str,
    views: Sequence[str] = (),
    description: str = "",
    lineage: Mapping[str, str] | None = None,
    trust: bool = False,
    sealer: Sealer | None = None,
    memory: bool = False,
) -> Version:
    """Register an artifact (a file or a fitted model) as the model's next version.

    With ``memory`` a compiled form is certified in processes of its own, which takes some seconds. The same
    artifact with the same signature and views is registered once; a second call returns the version
    that the first made.

    Raises:
        InvalidInput: the frames, the views or the artifact do not fit together.
        Refused: the artifact can run code and is not trusted, or the signature is of another.
    """
    before = numbers(deployment, model)
    signature = _signature(training)
    compile_plan(served_features(deployment), signature, views)
    reference = columns_from_frame(signature, training.reference)
    vouched = author if trust else ""
    predictor = deployment.registry.preview(artifact, signature, trust=vouched, sealer=sealer)
    times = _column(training.reference, training.time)

    def score(columns: Columns) -> FloatArray:
        return scores_of(signature, predictor.predict(columns))

    scores = score(reference)
    profile = build_profile(
        reference,
        scores=scores,
        times=times,
        importance=permutation_importance(score, reference),
        block_seconds=_block_seconds(times, deployment.config.watch.window_seconds),
    )
    performance = performance_config(deployment, model, signature)
    heldout = _held_out(training, signature, predictor, deployment.config.watch.window_seconds)
    compiled, facts = _compiled(deployment, predictor, signature, reference, native=bool(vouched))
    if compiled is not None:
        evidence = (reference, None) if heldout is None else (heldout.columns, heldout.outcomes)
        certifier = plugins.by_path("trimtab.wiring.certifying:certifier")
        now = deployment.clock.now()
        certify = certifier(predictor, signature, *evidence, memory=memory, now=now)
        compiled = replace(compiled, certify=certify)
    segments = _segments(deployment, model, reference, scores, times)
    version = deployment.registry.register(
        model,
        artifact,
        signature=signature,
        profile=profile.dump(),
        promise=None if heldout is None else make_promise(heldout, signature, performance).dump(),
        metrics=_figures(heldout, signature, performance),
        lineage={
            "reference_digest": _digest(reference),
            "reference_rows": str(reference.rows),
            **facts,
            **segments,
            **(lineage or {}),
        },
        author=author,
        description=description,
        views=tuple(views),
        view_versions=versions_of(deployment, views),
        trust=vouched,
        compact=compiled,
        certificate=predictor.certificate,
        sealer=sealer,
    )
    if version.version not in before:
        _told(deployment, version, author, description or "registered")
    return version


def numbers(deployment: Deployment, model: str) -> frozenset[int]:
    """The versions that a model has; none if there is no such model."""
    with deployment.state.reading() as state:
        return frozenset(known.version for known in state.registry.versions(model))


def _told(deployment: Deployment, version: Version, author: str, reason: str) -> None:
    """Put a registration into the audit log."""
    with deployment.state.transaction() as state:
        audit.append(
            state.audit,
            actor=author,
            action="register",
            model=version.model,
            detail={"version": version.version, "digest": version.digest},
            reason=reason,
            clock=deployment.clock,
        )


def _compiled(
    deployment: Deployment,
    predictor: Guarded,
    signature: Signature,
    reference: Columns,
    *,
    native: bool,
) -> tuple[Compiled | None, dict[str, str]]:
    """The model's compiled form, and for the lineage what is not compiled and why.

    ``native`` is whether steps may stay native, which can run code when they are loaded.
    """
    if not deployment.config.optimize.compact or predictor.original is None or not reference.rows:
        return None, {}
    try:
        compact = plugins.by_path("trimtab.optimize.compact:compact")
    except InvalidConfig as missing:
        return None, {"not_compiled": missing.message}
    attempt: Attempt = compact(
        predictor.original,
        signature,
        predictor,
        reference,
        encoding=predictor.encoding,
        before_last=predictor.before_last if native else None,
        tried=predictor.tried,
    )
    if attempt.artifact is None or attempt.figures is None:
        return None, {"not_compiled": attempt.reason}
    form = CompactForm(
        digest="",
        size_bytes=0,
        format="compact_joblib" if attempt.reason else "compact",
        **msgspec.structs.asdict(attempt.figures),
    )
    return Compiled(attempt.artifact, form), (
        {"native_steps": attempt.reason} if attempt.reason else {}
    )


def _segments(
    deployment: Deployment,
    model: str,
    reference: Columns,
    scores: FloatArray,
    times: FloatArray | None,
) -> dict[str, str]:
    """The reference by segment, kept as a blob; nothing if traffic is not watched by segment."""
    settings = deployment.config.models.get(model)
    if settings is None or not settings.segment_by:
        return {}
    found = build_segments(
        reference,
        settings.segment_by,
        settings.max_segments,
        scores=scores,
        times=times,
        block_seconds=_block_seconds(times, deployment.config.watch.window_seconds),
    )
    with tempfile.TemporaryDirectory(dir=deployment.dir) as folder:
        file = Path(folder) / "segments"
        file.write_bytes(dump_segments(found))
        digest, _ = deployment.blobs.put(file)
    return {SEGMENTS_DIGEST: digest}


def scores_of(signature: Signature, outputs: FloatArray) -> FloatArray:
    """One score a row: P(positive), the largest class probability, or the value."""
    if signature.task is Task.BINARY:
        return outputs[:, 1]
    if signature.task is Task.MULTICLASS:
        return np.asarray(outputs.max(axis=1), dtype=np.float64)
    return outputs[:, 0]


def _block_seconds(times: FloatArray | None, window_seconds: float) -> float:
    """A block is a window if the reference spans enough of them, else at most a day."""
    span = 0.0 if times is None else float(np.nanmax(times) - np.nanmin(times))
    return window_seconds if span >= BLOCKS * window_seconds else min(window_seconds, DAY)


def _signature(training: Training) -> Signature:
    frame = nw.from_native(training.reference, eager_only=True)
    left_out = {training.outcome, training.time, training.request, *training.ignore}
    features = [name for name in frame.columns if name not in left_out]
    return infer_signature(
        frame.select(features).to_native(),
        task=training.task,
        labels=training.labels or _labels(training),
        threshold=training.threshold,
        units=training.units,
    )


def _labels(training: Training) -> tuple[str, ...]:
    """The classes as found in the reference's outcomes, sorted."""
    if training.task is Task.REGRESSION:
        return ()
    if training.outcome is None:
        return ("0", "1") if training.task is Task.BINARY else ()
    column = nw.from_native(training.reference, eager_only=True)[training.outcome]
    return tuple(str(label) for label in sorted(column.drop_nulls().unique().to_list()))


def _held_out(
    training: Training, signature: Signature, predictor: Predictor, window_seconds: float
) -> HeldOut | None:
    """The holdout's rows whose outcome is known; None without a holdout or without such rows."""
    if training.holdout is None:
        return None
    if training.outcome is None:
        raise InvalidInput(
            "A holdout without outcomes measures nothing.",
            code="outcome_column_missing",
            hint="Name its column of outcomes with --outcome.",
        )
    outcomes = outcomes_of(signature, training.holdout, training.outcome)
    known = np.isfinite(outcomes)
    if not known.any():
        return None
    columns = columns_from_frame(signature, training.holdout)
    outputs = predictor.predict(columns)
    scores = outputs if signature.task is Task.MULTICLASS else scores_of(signature, outputs)
    times = _column(training.holdout, training.time)
    return HeldOut(
        columns=Columns(
            features=columns.features, arrays=tuple(array[known] for array in columns.arrays)
        ),
        scores=scores[known],
        outcomes=outcomes[known],
        event_times=None if times is None else times[known],
        window_seconds=window_seconds,
        requests=_requests(training, known),
    )


def _requests(training: Training, known: Array) -> Array | None:
    """Which of the holdout's rows were ranked together; those whose outcome is known.

    Raises:
        InvalidInput: there is no such column.
    """
    if training.request is None:
        return None
    frame = nw.from_native(training.holdout, eager_only=True)
    if training.request not in frame.columns:
        raise InvalidInput(
            f"There is no column {training.request!r} for the requests.",
            code="request_column_missing",
            hint=f"The columns are {', '.join(frame.columns)}.",
        )
    names = frame[training.request].to_list()
    return np.array([str(name) for name in names], dtype=object)[known]


def _figures(
    heldout: HeldOut | None, signature: Signature, config: PerformanceConfig
) -> dict[str, float]:
    """Metrics on the holdout; empty without one."""
    if heldout is None:
        return {}
    return evaluate(
        heldout.scores,
        heldout.outcomes,
        signature,
        event_times=heldout.event_times,
        config=config,
        requests=heldout.requests,
    )


def outcomes_of(signature: Signature, frame: object, name: str) -> FloatArray:
    """A frame's outcomes as numbers: class indices, or values; NaN is not known.

    Raises:
        InvalidInput: one is none of the classes.
    """
    column = nw.from_native(frame, eager_only=True)[name]  # type: ignore[call-overload]  # any frame
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
    places = {label: float(i) for i, label in enumerate(signature.labels)}
    values = column.to_list()
    strangers = sorted({str(v) for v in values if v is not None and str(v) not in places})
    if strangers:
        raise InvalidInput(
            f"The outcome {strangers[0]!r} is none of the classes {', '.join(places)}.",
            code="unknown_label",
            path=name,
            hint="Name the classes in the model's order with --label.",
        )
    return np.array([np.nan if v is None else places[str(v)] for v in values])


def _column(frame: object, name: str | None) -> FloatArray | None:
    if name is None:
        return None
    native = nw.from_native(frame, eager_only=True)  # type: ignore[call-overload]  # any frame
    if name not in native.columns:
        raise InvalidInput(
            f"There is no column {name!r} for the event times.",
            code="time_column_missing",
            hint=f"The columns are {', '.join(native.columns)}.",
        )
    return np.asarray(native[name].cast(nw.Float64).to_numpy(), dtype=np.float64)


def _digest(columns: Columns) -> str:
    """A digest of the reference's values, for the lineage."""
    whole = hashlib.sha256()
    for spec, array in zip(columns.features, columns.arrays, strict=True):
        whole.update(spec.name.encode())
        whole.update(_bytes(array))
    return f"sha256:{whole.hexdigest()}"


def _bytes(array: Array) -> bytes:
    if array.dtype == object:
        return "\x1f".join("\x00" if v is None else str(v) for v in array).encode()
    return np.ascontiguousarray(array, dtype=np.float64).tobytes()
