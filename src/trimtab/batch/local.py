"""The local batch engine: one process, chunk by chunk, as if each were a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.batch.plan import (
    MANIFEST,
    BatchPlan,
    Manifest,
    Part,
    digest_of,
    job_of,
    read_manifest,
    replace_file,
    write_manifest,
)
from trimtab.batch.read import Row, Source, open_source
from trimtab.errors import Conflict, InvalidInput, InvalidPlan, InvalidRow, ModelFailure
from trimtab.types import FeatureKind, PredictAnswer, Prediction, RowRequest, Signature, Task

Score = Callable[[Sequence[RowRequest]], PredictAnswer]
Progress = Callable[[int, int], None]
"""Told the rows done and the rows in all, at the start and after every part."""

_OUTPUTS = ("row", "prediction_id", "key", "score", "outputs", "decision", "version", "sources")
_ROW_PATH = re.compile(r"rows\[(\d+)\]")


def _silent(_done: int, _total: int) -> None:
    """Nobody is told."""


class LocalEngine:
    """Scores a file through the path that answers online, part by part.

    A part is written whole or not at all, and the manifest names it only then: a job that was killed
    and is run again keeps its finished parts and gives what one go would have given.

    Args:
        score: Answers rows, in order; the version is its business.
        signature: Of the version that answers.
        entities: Columns that feature views look entities up by.
        optional: Features that views provide, so that the input may lack them.
        progress: Told how far the job is.
    """

    def __init__(
        self,
        score: Score,
        signature: Signature,
        *,
        entities: Collection[str] = (),
        optional: Collection[str] = (),
        progress: Progress = _silent,
    ) -> None:
        self._score = score
        self._signature = signature
        self._entities = tuple(entities)
        self._optional = frozenset(optional)
        self._progress = progress

    def run(self, plan: BatchPlan, *, force: bool = False) -> Manifest:
        """Do what is not done yet.

        Args:
            plan: The job.
            force: Whether to do away with what another job left in the output directory.

        Raises:
            InvalidInput: the input is missing, empty, unreadable or lacks columns.
            InvalidPlan: the plan cannot be run as stated.
            InvalidRow: a row cannot be scored, with its number in the input.
            Conflict: the output directory holds something else.
            ModelFailure: the model failed, or did not answer every row.
            Unavailable: the output cannot be written.
        """
        source = open_source(Path(plan.input), self._signature)
        self._check(plan, source)
        manifest = self._resume(plan, source, force=force)
        self._progress(manifest.rows_done, manifest.rows)
        read = tuple(dict.fromkeys(name for name in self._read(plan) if name in source.columns))
        chunks = source.chunks(read, plan.chunk_rows, manifest.rows_done)
        for number, rows in enumerate(chunks, len(manifest.parts)):
            part = self._part(manifest, source, number, rows)
            manifest = msgspec.structs.replace(manifest, parts=(*manifest.parts, part))
            write_manifest(Path(plan.output), manifest)
            self._progress(manifest.rows_done, manifest.rows)
        if manifest.state != "done":
            manifest = msgspec.structs.replace(manifest, state="done")
            write_manifest(Path(plan.output), manifest)
        return manifest

    def _read(self, plan: BatchPlan) -> Iterator[str]:
        yield from self._signature.names
        yield from self._entities
        yield from (name for name in (plan.key, plan.event_time) if name)
        yield from plan.passthrough

    def _check(self, plan: BatchPlan, source: Source) -> None:
        if plan.chunk_rows < 1:
            raise InvalidPlan("A part needs at least one row.", path="chunk_rows")
        if clash := sorted(set(_OUTPUTS) & set(plan.passthrough)):
            raise InvalidPlan(
                f"The column {clash[0]!r} cannot be passed through: the output has one of that name.",
                code="reserved_name",
                path="passthrough",
                hint="Rename it in the input.",
            )
        missing = [
            name
            for name in dict.fromkeys(self._read(plan))
            if name not in source.columns and name not in self._optional
        ]
        if missing:
            raise InvalidInput(
                f"The input lacks {', '.join(repr(name) for name in missing)}.",
                code="missing_columns",
                path=plan.input,
                hint=f"It has {', '.join(source.columns) or 'no columns'}.",
            )

    def _resume(self, plan: BatchPlan, source: Source, *, force: bool) -> Manifest:
        """The manifest of this job as far as its parts are sound, or a new one."""
        directory = Path(plan.output)
        rows = source.count()
        if not rows:
            raise InvalidInput(f"{plan.input!r} has no rows.", code="empty_input", path=plan.input)
        digest = digest_of(Path(plan.input))
        new = Manifest(job=job_of(plan, digest), plan=plan, input_digest=digest, rows=rows)
        if force:
            _clear(directory)
        found = read_manifest(directory)
        if found is not None and found.job == new.job:
            return msgspec.structs.replace(new, parts=_sound(directory, found.parts))
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            what = f"another job ({found.job})" if found else "files that are no batch job's"
            raise Conflict(
                f"The output {plan.output!r} holds {what}.",
                code="output_exists",
                hint="Choose another directory; --force does away with another job's parts.",
            )
        directory.mkdir(parents=True, exist_ok=True)
        write_manifest(directory, new)
        return new

    def _part(self, manifest: Manifest, source: Source, number: int, rows: list[Row]) -> Part:
        first = manifest.rows_done
        requests = [
            self._request(manifest, row, position) for position, row in enumerate(rows, first)
        ]
        predictions = self._answer(requests, first)
        table = self._table(manifest.plan, source, first, rows, predictions)
        path = Path(manifest.plan.output) / f"part-{number:05d}.parquet"
        replace_file(path, partial(pq.write_table, table))
        return Part(
            file=path.name,
            first_row=first,
            rows=len(rows),
            size_bytes=path.stat().st_size,
            digest=digest_of(path),
        )

    def _request(self, manifest: Manifest, row: Row, position: int) -> RowRequest:
        plan = manifest.plan
        features = {
            feature.name: _whole(row[feature.name])
            if feature.kind is FeatureKind.INTEGER
            else row[feature.name]
            for feature in self._signature.features
            if feature.name in row
        }
        features |= {name: row[name] for name in self._entities if name in row}
        key = row[plan.key] if plan.key else None
        return RowRequest(
            features=features,
            key=None if key is None else str(key),
            prediction_id=f"{manifest.job}-{position}",
            event_time=_seconds(row[plan.event_time], position) if plan.event_time else None,
        )

    def _answer(self, requests: Sequence[RowRequest], first: int) -> Sequence[Prediction]:
        try:
            answer = self._score(requests)
        except InvalidRow as wrong:
            place = _ROW_PATH.sub(lambda found: f"rows[{first + int(found[1])}]", wrong.path or "")
            raise InvalidRow(
                wrong.message, hint=wrong.hint, code=wrong.code, path=place or None
            ) from wrong
        asked = [request.prediction_id for request in requests]
        if asked != [prediction.prediction_id for prediction in answer.predictions]:
            raise ModelFailure(
                f"{len(answer.predictions)} answers do not match {len(asked)} rows.",
                code="answers_do_not_match",
            )
        return answer.predictions

    def _table(
        self,
        plan: BatchPlan,
        source: Source,
        first: int,
        rows: list[Row],
        predictions: Sequence[Prediction],
    ) -> pa.Table:
        decision = pa.float64() if self._signature.task is Task.REGRESSION else pa.string()
        columns: dict[str, pa.Array] = {
            "row": pa.array(range(first, first + len(rows)), pa.int64()),
            "prediction_id": pa.array([p.prediction_id for p in predictions], pa.string()),
        }
        if plan.key:
            keys = [row[plan.key] for row in rows]
            columns["key"] = pa.array([None if k is None else str(k) for k in keys], pa.string())
        for name in plan.passthrough:
            columns[name] = _copied([row[name] for row in rows], source.type_of(name))
        columns |= {
            "score": pa.array([p.score for p in predictions], pa.float64()),
            "outputs": pa.array([list(p.outputs) for p in predictions], pa.list_(pa.float64())),
            "decision": pa.array([p.decision for p in predictions], decision),
            "version": pa.array([p.version for p in predictions], pa.int64()),
            "sources": pa.array([p.sources for p in predictions], pa.string()),
        }
        return pa.table(columns)


def _copied(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, kind)


def _whole(value: Any) -> Any:
    """A float without fraction as an integer: files store integers with gaps as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seconds(value: Any, position: int) -> float | None:
    """Unix seconds of a timestamp, a number or ISO 8601 text; without a zone it is UTC."""
    try:
        if isinstance(value, str):
            value = _number_or_time(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        return None if value is None else float(value)
    except (TypeError, ValueError) as wrong:
        raise InvalidRow(
            f"The event time {value!r} is no time.",
            code="invalid_event_time",
            path=f"rows[{position}].event_time",
            hint="Use a timestamp column, Unix seconds or ISO 8601 text.",
        ) from wrong


def _number_or_time(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text)


def _sound(directory: Path, parts: Sequence[Part]) -> tuple[Part, ...]:
    """The finished parts up to the first that is missing or damaged."""
    kept: list[Part] = []
    for part in parts:
        path = directory / part.file
        if not path.is_file() or digest_of(path) != part.digest:
            break
        kept.append(part)
    return tuple(kept)


def _clear(directory: Path) -> None:
    """Remove what a batch job writes, and nothing else."""
    if not (directory / MANIFEST).is_file():
        return
    for path in [*directory.glob("part-*.parquet"), *directory.glob(".*.tmp")]:
        path.unlink()
    (directory / MANIFEST).unlink()
