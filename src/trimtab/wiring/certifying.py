"""The certificate of a compiled form: what it answers and costs beside its original, at registration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.errors import InvalidPlan, ModelFailure
from trimtab.models.artifact import Formats
from trimtab.models.guard import Guarded, opened
from trimtab.models.registry import ArtifactFile
from trimtab.optimize.agreement import agreement
from trimtab.optimize.budget import Budget
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.forms import libraries
from trimtab.optimize.ground import segments_of
from trimtab.optimize.measure import WORKERS, Warm, here, machine
from trimtab.optimize.packed import paths_differ
from trimtab.optimize.pipelines import prepared, split
from trimtab.types import (
    Array,
    Certificate,
    Columns,
    FeatureKind,
    FloatArray,
    Footprint,
    ModelFile,
    Record,
    Rows,
    Signature,
)

MOST_ROWS = 10_000
MOST_SEGMENTS = 12
SECONDS = 0.15
"""The most that one kind of timing takes for one form."""


@dataclass(frozen=True, slots=True)
class ColumnRows:
    """Columns that can be cut like a matrix."""

    columns: Columns

    def __len__(self) -> int:
        return self.columns.rows

    def __getitem__(self, rows: Any) -> ColumnRows:
        arrays = tuple(array[rows] for array in self.columns.arrays)
        return ColumnRows(Columns(features=self.columns.features, arrays=arrays))


class _Opening(Record, frozen=True):
    """How a process of its own opens an artifact."""

    path: str
    format: str
    signature: Signature


def certifier(
    predictor: Guarded,
    signature: Signature,
    columns: Columns,
    outcomes: FloatArray | None,
    *,
    memory: bool,
    now: float,
) -> Callable[[ArtifactFile, ArtifactFile], Certificate]:
    """What certifies a compiled form once it is written.

    Args:
        predictor: The original.
        signature: Of both.
        columns: Rows that both answer; at most 10,000 of them, evenly over all.
        outcomes: Of held-out rows, all known; None where the rows are those of the reference.
        memory: Measure in processes of their own, memory among it; otherwise here, without.
        now: Unix seconds.
    """
    places = np.linspace(0, columns.rows - 1, min(MOST_ROWS, columns.rows)).astype(np.intp)
    rows = ColumnRows(columns)[places]
    known = None if outcomes is None else outcomes[places]

    def certify(original: ArtifactFile, small: ArtifactFile) -> Certificate:
        compiled = opened(
            Formats.installed().named(small.format), small.path, signature, small.path.name
        )
        agreed = agreement(
            signature.task,
            predictor.predict(rows.columns),
            compiled.predict(rows.columns),
            Rows(X=rows, outcomes=known, segments=_segments(rows.columns)),
            threshold=signature.threshold,
            budget=Budget(),
        )
        files, models = (original, small), (predictor, compiled)
        notes: tuple[str, ...] = () if memory else ("memory was not measured",)
        costs: list[Footprint] = []
        if memory:
            try:
                costs = _apart(files, signature, rows, libraries(predictor.original))
            except ModelFailure as failure:
                notes = (f"memory was not measured: {failure.message}",)
        costs = costs or _here(files, models, rows)
        return Certificate(
            plan="compiled",
            steps=("compact",),
            lossless=True,
            budget="",
            original=original.digest,
            rows=agreed.rows,
            max_abs=agreed.max_abs,
            mean_abs=agreed.mean_abs,
            threshold=signature.threshold if signature.labels else None,
            flips=agreed.flips,
            path_differences=_paths_differ(predictor, compiled, rows.columns),
            metrics=agreed.metrics,
            segments=agreed.segments,
            before=costs[0],
            after=costs[1],
            machine=machine(),
            made_at=now,
            notes=notes,
            held_out=outcomes is not None,
        )

    return certify


def _paths_differ(predictor: Guarded, compiled: Guarded, columns: Columns) -> int | None:
    """How many rows go another way through the compiled trees; None where there is not one ensemble."""
    if len(compiled.forests) != 1:
        return None
    head, tail = split(predictor.original)
    try:
        ensemble = ensemble_of(tail)
    except InvalidPlan:
        return None
    return paths_differ(
        compiled.forests[0], ensemble, tail, prepared(head, predictor.rows(columns))
    )


def open_artifact(folder: Path) -> Callable[[ColumnRows], FloatArray]:
    """An artifact that this program has just written, as a function from rows to outputs."""
    what = msgspec.json.decode((folder / "opening.json").read_bytes(), type=_Opening)
    kind = Formats.installed().named(what.format)
    predictor = opened(kind, Path(what.path), what.signature, folder.name)
    return partial(_answer, predictor)


def _answer(predictor: Guarded, rows: ColumnRows) -> FloatArray:
    return predictor.predict(rows.columns)


def _segments(columns: Columns) -> dict[str, Array]:
    """The segment of each row by each feature of few values that is no number."""
    found = {}
    for spec, array in zip(columns.features, columns.arrays, strict=True):
        few = spec.kind in {FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}
        if few and len(set(array.tolist())) <= MOST_SEGMENTS:
            found[spec.name] = array
    return segments_of(found)


def _here(
    files: tuple[ArtifactFile, ...], models: tuple[Guarded, ...], rows: ColumnRows
) -> list[Footprint]:
    return [
        here(
            partial(_answer, model),
            rows,
            disk_bytes=file.path.stat().st_size,
            load_ms=model.load_ms,
            seconds=SECONDS,
        )
        for file, model in zip(files, models, strict=True)
    ]


def _apart(
    files: tuple[ArtifactFile, ...],
    signature: Signature,
    rows: ColumnRows,
    imports: tuple[str, ...],
) -> list[Footprint]:
    with tempfile.TemporaryDirectory(prefix="trimtab-") as directory, Warm() as warm:
        forms = []
        for place, file in enumerate(files):
            folder = Path(directory) / str(place)
            folder.mkdir()
            what = _Opening(path=str(file.path), format=file.format, signature=signature)
            (folder / "opening.json").write_bytes(msgspec.json.encode(what))
            opener = f"{__name__}:open_artifact"
            forms.append(ModelFile(path=str(folder), opener=opener, imports=imports))
        found = warm.footprints(forms, rows, workers=WORKERS, seconds=SECONDS)
    return [
        msgspec.structs.replace(each, disk_bytes=file.path.stat().st_size)
        for each, file in zip(found, files, strict=True)
    ]
