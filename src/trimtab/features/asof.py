"""Point-in-time correct joins with polars: what each view knew at each event, and nothing later.

The only file that imports polars.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa

from trimtab.errors import InvalidInput, Unavailable
from trimtab.features.history import History
from trimtab.features.steps import PlannedTransform
from trimtab.features.training import TrainingPlan
from trimtab.features.transforms import apply_step
from trimtab.features.values import PlannedFeature
from trimtab.features.views import planned_feature
from trimtab.types import FeatureKind, Scalar

_ROW = "__row"
_WHEN = "__when"
_MAX_EXACT = 2**53
_MAX_TEXT = 10_000
_TYPES: Mapping[FeatureKind, pl.DataType] = {
    FeatureKind.NUMERIC: pl.Float64(),
    FeatureKind.INTEGER: pl.Int64(),
    FeatureKind.BOOLEAN: pl.Boolean(),
    FeatureKind.CATEGORICAL: pl.String(),
}


class AsOfJoin:
    """Joins views' histories to events, chunk by chunk.

    For each event and view: of the entity's rows at or before the event's time the newest (of two at
    one time, the later in the files), each value unless it is older than its freshness limit or not
    what the view declares. Histories are held in memory, sorted once; events pass in chunks and keep
    their order. So memory is bounded by the histories' columns and one chunk.

    Args:
        plan: What is joined.

    Raises:
        InvalidInput: a history lacks a column, or its times are none.
        Unavailable: a file cannot be read.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._sides = [_Side(plan, name) for name in plan.histories]

    def join(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Events with the features that were known at their time, in their order.

        Args:
            batches: Events with a column for each key and one of times; any further columns are kept.

        Raises:
            InvalidInput: a column is missing, or is there that a view would add; a time is none.
        """
        for batch in batches:
            events = pl.DataFrame(pl.from_arrow(batch))
            _check_columns(events, self._plan, self._sides)
            yield self._joined(events).to_arrow()

    def _joined(self, events: pl.DataFrame) -> pl.DataFrame:
        added = [name for side in self._sides for name in side.added]
        work = events.with_columns(_seconds(events, self._plan.time_column).alias(_WHEN))
        if work[_WHEN].has_nulls():
            raise InvalidInput(
                f"An event has no time in {self._plan.time_column!r}.",
                code="event_time_missing",
                path=self._plan.time_column,
                hint="Leave such events out, or name another column with --time.",
            )
        ordered = work[_WHEN].is_sorted()
        if not ordered:
            work = work.with_row_index(_ROW).sort(_WHEN, maintain_order=True)
        for side in self._sides:
            work = side.join(work)
        if not ordered:
            work = work.sort(_ROW)
        work = work.select(*events.columns, *added)
        return _transformed(work, self._plan)


class _Side:
    """One view's history, ready to be joined."""

    def __init__(self, plan: TrainingPlan, name: str) -> None:
        history, self._view = plan.histories[name], plan.views[name]
        self._name = name
        self._plan = plan
        self._features = tuple(
            planned_feature(0, FeatureKind(feature.kind), feature, self._view)
            for feature in self._view.features
        )
        self.keys = self._view.keys
        self._by = [f"__key{i}" for i in range(len(self.keys))]
        self._time = f"{name}.event_time"
        frame = _read(history, [feature.name for feature in self._features])
        self._numbered = [frame[key].dtype.is_integer() for key in history.keys]
        when = _seconds(frame, history.time_column).alias(self._time)
        keys = [
            _key(frame, key, whole, history.view).alias(by)
            for key, whole, by in zip(history.keys, self._numbered, self._by, strict=True)
        ]
        self._frame = (
            frame.select(*keys, when, *(_conformed(frame, f) for f in self._features))
            .filter(pl.all_horizontal(pl.col(self._time, *self._by).is_not_null()))
            .sort(self._time, maintain_order=True)
        )

    @property
    def added(self) -> tuple[str, ...]:
        """The columns that this view adds."""
        times = (self._time,) if self._plan.times else ()
        return (*(feature.name for feature in self._features), *times)

    def join(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events, sorted by time, with this view's columns."""
        keys, frame = [], self._frame
        for key, whole, by in zip(self.keys, self._numbered, self._by, strict=True):
            same = whole and events[key].dtype.is_integer()
            keys.append(_key(events, key, same, "events").alias(by))
            if whole and not same:
                frame = frame.with_columns(pl.col(by).cast(pl.String))
        joined = events.with_columns(*keys).join_asof(
            frame,
            left_on=_WHEN,
            right_on=self._time,
            by=self._by,
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
        age = pl.col(_WHEN) - pl.col(self._time)
        fresh = [
            pl.when(age <= feature.ttl_seconds).then(pl.col(feature.name)).alias(feature.name)
            for feature in self._features
            if feature.ttl_seconds is not None
        ]
        joined = joined.with_columns(*fresh).drop(self._by)
        if self._plan.defaults:
            filled = [
                pl.col(f.name).fill_null(f.default) for f in self._features if f.default is not None
            ]
            joined = joined.with_columns(*filled)
        return joined


def _read(history: History, features: Sequence[str]) -> pl.DataFrame:
    columns = list(dict.fromkeys((*history.keys, history.time_column, *features)))
    try:
        frame = pl.read_parquet(list(history.files), columns=columns)
    except pl.exceptions.ColumnNotFoundError as missing:
        raise InvalidInput(
            f"The history of {history.view!r} lacks a column: {str(missing).splitlines()[0]}.",
            code="unknown_column",
            path=f"features.views.{history.view}.history",
            hint=f"It needs {', '.join(columns)}.",
        ) from missing
    except (pl.exceptions.PolarsError, OSError) as wrong:
        raise Unavailable(
            f"The history of {history.view!r} cannot be read: {str(wrong).splitlines()[0]}.",
            code="history_unreadable",
            hint="Are its files whole, and of one schema?",
        ) from wrong
    return frame


def _check_columns(events: pl.DataFrame, plan: TrainingPlan, sides: Sequence[_Side]) -> None:
    wanted = dict.fromkeys([plan.time_column, *(key for side in sides for key in side.keys)])
    missing = [name for name in wanted if name not in events.columns]
    if missing:
        raise InvalidInput(
            f"The events have no column {', '.join(map(repr, missing))}.",
            code="unknown_column",
            path=missing[0],
            hint=f"They have {', '.join(events.columns)}.",
        )
    made = [step.output.name for step in plan.steps]
    taken = [
        name
        for name in (*(n for side in sides for n in side.added), *made)
        if name in events.columns
    ]
    if taken:
        raise InvalidInput(
            f"The events have {', '.join(map(repr, taken))} already, which a view would add.",
            code="column_exists",
            path=taken[0],
            hint="Rename the column, or leave the view out.",
        )


def _seconds(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column of times as Unix seconds; a naive timestamp is UTC, and NaN is missing.

    Timestamps are cut to microseconds, where a float of seconds is exact enough to keep their order.
    """
    kind = frame[name].dtype
    column = pl.col(name)
    if kind.is_temporal():
        micros = column.cast(pl.Datetime("us")) if kind == pl.Date else column
        return micros.dt.epoch("us") / 1_000_000
    if kind.is_numeric() or kind == pl.Null:
        seconds = column.cast(pl.Float64)
        return pl.when(seconds.is_finite()).then(seconds)
    raise InvalidInput(
        f"The column {name!r} holds {kind}, which is no time.",
        code="event_time_out_of_range",
        path=name,
        hint="Give Unix seconds or timestamps.",
    )


def _key(frame: pl.DataFrame, name: str, whole: bool, where: str) -> pl.Expr:
    """A column of keys, as integers or as text, as requests carry them."""
    kind = frame[name].dtype
    if whole:
        return pl.col(name).cast(pl.Int64)
    if kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return pl.col(name).cast(pl.String)
    raise InvalidInput(
        f"The keys {name!r} of {where} are {kind}.",
        code="wrong_key",
        path=name,
        hint="A key is a string or an integer.",
    )


def _conformed(frame: pl.DataFrame, feature: PlannedFeature) -> pl.Expr:
    """A column's values as ``feature.conform`` gives them; what it refuses is missing."""
    kind, column = frame[feature.name].dtype, pl.col(feature.name)
    wanted = _TYPES[feature.kind]
    if not _may_be(kind, feature.kind):
        return pl.lit(None, dtype=wanted).alias(feature.name)
    if feature.kind is FeatureKind.CATEGORICAL:
        column = column.cast(pl.String)
        fits = column.str.len_chars() <= _MAX_TEXT
    elif feature.kind is FeatureKind.BOOLEAN:
        fits = column.is_not_null()
    else:
        column = column.cast(pl.Float64)
        fits = column.is_finite() & column.is_between(feature.minimum, feature.maximum)
        if kind.is_integer() or feature.kind is FeatureKind.INTEGER:
            fits &= column.abs() <= _MAX_EXACT
        if feature.kind is FeatureKind.INTEGER:
            fits &= column == column.floor()
    if feature.allowed:
        fits &= column.is_in(_literals(feature))
    return pl.when(fits).then(column).cast(wanted).alias(feature.name)


def _may_be(kind: pl.DataType, wanted: FeatureKind) -> bool:
    """Whether a column of this type can hold what a view declares; text is no number."""
    if wanted is FeatureKind.CATEGORICAL:
        return kind in (pl.String, pl.Categorical, pl.Enum)
    return kind == pl.Boolean if wanted is FeatureKind.BOOLEAN else kind.is_numeric()


def _literals(feature: PlannedFeature) -> list[Scalar]:
    numbers = feature.kind in (FeatureKind.NUMERIC, FeatureKind.INTEGER)
    return [float(value) if numbers and value is not None else value for value in feature.allowed]


def _transformed(frame: pl.DataFrame, plan: TrainingPlan) -> pl.DataFrame:
    """With the outputs of transforms: the function that serving calls, row by row."""
    if not plan.steps:
        return frame
    columns: dict[int, list[Scalar]] = {}
    rows = frame.height
    for at, name in enumerate(plan.slots):
        if name in frame.columns:
            columns[at] = [None if value != value else value for value in frame[name].to_list()]  # noqa: PLR0124 - NaN
    for step in plan.steps:
        missing = [plan.slots[at] for at in step.inputs if at not in columns]
        if missing:
            raise InvalidInput(
                f"{step.output.name!r} is computed from {missing[0]!r}, which the events lack.",
                code="unknown_column",
                path=missing[0],
                hint="Add a column of that name to the events.",
            )
        taken = [columns[at] for at in step.inputs]
        made = [_output(step, [column[i] for column in taken], plan) for i in range(rows)]
        columns[step.output.index] = made
        kind = _TYPES[step.output.kind]
        frame = frame.with_columns(pl.Series(step.output.name, made, dtype=kind))
    return frame


def _output(step: PlannedTransform, inputs: Sequence[Scalar], plan: TrainingPlan) -> Scalar:
    values: dict[int, Scalar] = dict(zip(step.inputs, inputs, strict=True))
    try:
        found = apply_step(step, values)
    except ValueError:
        found = None
    return step.output.default if found is None and plan.defaults else found
