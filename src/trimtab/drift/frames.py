"""Frames, files and records as columns to be profiled or compared, without a copy where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from trimtab.drift.comparison import PAIR_ROWS
from trimtab.drift.profile import ReferenceProfile, profile_of
from trimtab.errors import InvalidInput
from trimtab.sketch import (
    Coded,
    Column,
    Counted,
    Sketch,
    TableSketch,
    merge_all,
    pair_sums,
    side_by_side,
    sketch,
)
from trimtab.types import Array, FeatureKind, FeatureSpec, FloatArray, PredictionRecord

_COUNTED_ROWS = 131_072


def read_frame(path: Path) -> Any:
    """A Parquet or CSV file as an Arrow table.

    Raises:
        InvalidInput: the name ends in neither, or the file cannot be read.
    """
    readers = {".parquet": _read_parquet, ".pq": _read_parquet, ".csv": csv.read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(
            f"{path.name} ends in none of {', '.join(readers)}.",
            hint="Save the rows as Parquet or CSV.",
            code="unknown_file_type",
        )
    try:
        return reader(str(path))
    except (pa.ArrowException, OSError) as wrong:
        raise InvalidInput(
            f"{path} cannot be read: {wrong}.",
            hint="Check that the file is there and complete.",
            code="unreadable_file",
        ) from wrong


def features_of(
    frame: object,
    *,
    kinds: Mapping[str, FeatureKind] | None = None,
    units: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
) -> tuple[FeatureSpec, ...]:
    """A frame's columns with the types found in them, for a reference.

    Args:
        frame: pandas, polars or pyarrow.
        kinds: By name, where what was found is not what is meant: a postal code, for example, is
            whole numbers to look at, and categories to mean.
        units: By name, free text.
        ignore: Columns that are no features.

    Raises:
        InvalidInput: a name in ``kinds`` or ``units`` is no column.
    """
    table = _table(frame)
    edits, words = kinds or {}, units or {}
    for name in (*edits, *words):
        if name not in table.columns:
            raise InvalidInput(
                f"There is no column {name!r}.",
                hint=f"The columns are {', '.join(table.columns)}.",
                code="unknown_feature",
            )
    return tuple(
        FeatureSpec(
            name=name,
            kind=edits.get(name) or _kind(table[name]),
            nullable=True,
            unit=words.get(name),
        )
        for name in table.columns
        if name not in ignore
    )


def profile_of_frame(
    frame: object,
    features: Sequence[FeatureSpec] | None = None,
    *,
    scores: FloatArray | None = None,
    times: FloatArray | None = None,
    block_seconds: float = 86_400.0,
    importance: Mapping[str, float] | None = None,
) -> ReferenceProfile:
    """The reference profile of a frame.

    Args:
        frame: pandas, polars or pyarrow.
        features: Its features, from ``features_of``; all columns as they are found if not given.
        scores: As for :func:`trimtab.drift.build_profile`, and so are all others.
        times: Each row's event time.
        block_seconds: How long a block of time is.
        importance: By feature name.

    Raises:
        InvalidInput: there are no rows, or lengths differ.
    """
    specs = tuple(features or features_of(frame))
    table = _table(frame)
    return profile_of(
        specs,
        [_column(table, spec) for spec in specs],
        scores,
        times,
        block_seconds=block_seconds,
        importance=importance,
    )


def sketch_frame(
    profile: ReferenceProfile,
    frame: object,
    numbers: Callable[[nw.Series[Any]], FloatArray] | None = None,
) -> TableSketch:
    """A frame's rows as a window's content, column after column, so that little memory is needed.

    What is no number in a numeric feature is missing, and so is all of a column that is not there.
    Above 20,000 rows, correlations are taken from evenly spaced rows.

    Args:
        profile: The reference.
        frame: pandas, polars or pyarrow.
        numbers: How a numeric feature's column is read.
    """
    table, read = _table(frame), numbers or _numbers
    rows = len(table)
    step = max(1, -(-rows // PAIR_ROWS))
    sketcher = profile.feature_sketcher()
    paired = profile.pairs.positions if profile.pairs else ()
    ranked = np.empty((len(paired), len(range(0, rows, step))))
    present = np.ones(ranked.shape, dtype=bool)
    found: list[Sketch] = []
    for at, feature in enumerate(profile.features):
        if not feature.binning.bits:
            parts = _counted(table, feature.feature)
            empty = Counted(labels=(), counts=())
            found.append(merge_all([sketch(feature.binning, part) for part in (empty, *parts)]))
            continue
        name = feature.feature.name
        column = read(table[name]) if name in table.columns else np.full(rows, np.nan)
        found.append(sketch(feature.binning, column))
        if at in paired:
            place, spaced = paired.index(at), column[::step]
            ranked[place] = sketcher.ranks_of(at, spaced)
            present[place] = ~np.isnan(spaced)
    sums = pair_sums(ranked, present) if paired else None
    return TableSketch(rows=rows, cells=side_by_side(found), pairs=sums)


def columns_of_records(
    records: Sequence[PredictionRecord], features: Sequence[FeatureSpec]
) -> tuple[list[Array], FloatArray, FloatArray]:
    """What the journal recorded as columns, scores and event times, to make a reference of it.

    Raises:
        InvalidInput: a feature's values are withheld from the journal (``withheld_feature``).
    """
    for at in sorted({at for record in records for at in record.withheld}):
        raise InvalidInput(
            f"The feature {features[at].name!r} is withheld from the journal.",
            hint="Make the reference of a frame that has it.",
            code="withheld_feature",
        )
    rows = list(zip(*(record.values for record in records), strict=True))
    columns: list[Array] = []
    for spec, values in zip(features, rows or [()] * len(features), strict=True):
        if spec.kind is FeatureKind.CATEGORICAL:
            column = np.empty(len(values), dtype=object)
            column[:] = values
            columns.append(column)
        else:
            columns.append(_as_floats(values))
    scores = np.array([record.score for record in records], dtype=np.float64)
    times = np.array([record.event_time for record in records], dtype=np.float64)
    return columns, scores, times


def floats_of(column: pa.ChunkedArray) -> FloatArray:
    """A column of float64, NaN where it has no value; without a copy if it is one chunk without gaps."""
    parts = [_chunk_floats(chunk) for chunk in column.chunks if len(chunk)]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0), *parts])


def coded_of(column: pa.ChunkedArray) -> Coded:
    """A column's values, as text, in codes."""
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # copies
    if not len(whole):
        return Coded(labels=(), codes=np.empty(0, dtype=np.int64))
    if pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_decode()
    coded = whole.dictionary_encode(null_encoding="encode")
    labels = coded.dictionary.to_pylist()
    indices = coded.indices  # 32 bits wide
    codes = np.frombuffer(indices.buffers()[1], np.int32, len(indices), 4 * indices.offset)
    if None in labels:
        codes = np.where(codes == labels.index(None), -1, codes)
    return Coded(labels=tuple(map(str, labels)), codes=codes)


def _read_parquet(path: str) -> pa.Table:
    # Not read_table: it loads Arrow's data sets and file systems, half a second, for one local file.
    with parquet.ParquetFile(path) as file:
        return file.read()


def _kind(series: nw.Series[Any]) -> FeatureKind:
    if series.dtype == nw.Boolean:
        return FeatureKind.BOOLEAN
    if series.dtype.is_integer():
        return FeatureKind.INTEGER
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        return FeatureKind.NUMERIC
    return FeatureKind.CATEGORICAL


def _numbers(series: nw.Series[Any]) -> FloatArray:
    if series.dtype.is_temporal():
        moments = series.to_numpy().astype("datetime64[us]")
        seconds = moments.astype(np.float64) / 1e6
        return np.where(np.isnat(moments), np.nan, seconds)
    if series.dtype.is_numeric() or series.dtype == nw.Boolean:
        if series.dtype != nw.Float64:
            series = series.cast(nw.Float64)
        native = series.to_native()
        if isinstance(native, pa.ChunkedArray):
            return floats_of(native)
        return np.asarray(series.to_numpy(), dtype=np.float64)
    return _as_floats(series.to_list())


def _chunk_floats(chunk: pa.Array) -> FloatArray:
    # Neither to_numpy nor fill_null, which import pandas wherever it is installed: half a second.
    here = slice(chunk.offset, chunk.offset + len(chunk))
    valid, values = chunk.buffers()
    floats = np.frombuffer(values, np.float64)[here]
    if not chunk.null_count:
        return floats
    known = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[here]
    return np.where(known == 1, floats, np.nan)


def _as_floats(values: Sequence[Any]) -> FloatArray:
    """Values as numbers; NaN for what is none."""
    return np.array(
        [float(v) if isinstance(v, int | float | np.number) else np.nan for v in values],
        dtype=np.float64,
    )


def _table(frame: object) -> nw.DataFrame[Any]:
    table: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
    return table


def _column(table: nw.DataFrame[Any], spec: FeatureSpec) -> Array | Coded:
    if spec.name not in table.columns:
        return _all_missing(spec, len(table))
    if spec.kind is not FeatureKind.CATEGORICAL:
        return _numbers(table[spec.name])
    arrow = _arrow(table[spec.name])
    if arrow is None:
        return _objects(table[spec.name])
    return coded_of(arrow)


def _counted(table: nw.DataFrame[Any], spec: FeatureSpec) -> Iterator[Column]:
    """The rows of each category, 131,072 rows at a time: a million categories stay in bounds."""
    if spec.name not in table.columns:
        yield _all_missing(spec, len(table))
        return
    arrow = _arrow(table[spec.name])
    if arrow is None:
        yield _objects(table[spec.name])
        return
    for chunk in arrow.chunks:
        for start in range(0, len(chunk), _COUNTED_ROWS):
            part = chunk.slice(start, _COUNTED_ROWS)
            if pa.types.is_dictionary(part.type):
                part = part.dictionary_decode()
            values, counts = part.value_counts().flatten()
            rows = {None if v is None else str(v): n for v, n in _pairs(values, counts)}
            missing = rows.pop(None, 0)
            yield Counted(
                labels=tuple(map(str, rows)), counts=tuple(rows.values()), missing=missing
            )


def _pairs(values: pa.Array, counts: pa.Array) -> Iterator[tuple[object, int]]:
    return zip(values.to_pylist(), counts.to_pylist(), strict=True)


def _arrow(series: nw.Series[Any]) -> pa.ChunkedArray | None:
    """The column as Arrow has it; None where its values are of several types."""
    try:
        arrow = series.to_arrow()
        return arrow if isinstance(arrow, pa.ChunkedArray) else pa.chunked_array([arrow])
    except (pa.ArrowException, TypeError):
        return None


def _objects(series: nw.Series[Any]) -> Array:
    column = np.empty(len(series), dtype=object)
    column[:] = series.to_list()
    return column


def _all_missing(spec: FeatureSpec, rows: int) -> Array | Coded:
    if spec.kind is FeatureKind.CATEGORICAL:
        return Coded(labels=(), codes=np.full(rows, -1))
    return np.full(rows, np.nan)
