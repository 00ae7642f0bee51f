"""Drift of rows at hand against a reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from msgspec.structs import replace

from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer
from trimtab.drift.comparison import PAIR_ROWS
from trimtab.drift.frames import sketch_frame
from trimtab.drift.profile import profile_of
from trimtab.errors import InvalidInput
from trimtab.judge import DriftJudge, flag
from trimtab.library.columns import column_of, is_vector, kinds_of, numbers_of, read_columns
from trimtab.library.current import CurrentWindow
from trimtab.library.drift_report import DriftReport
from trimtab.library.offline import (
    SegmentComparers,
    TogetherTests,
    WindowRows,
    pictures_of,
    window_with,
)
from trimtab.library.tables import row_of, seconds_of, table_of
from trimtab.quality import DATA_QUALITY, QualityComparer
from trimtab.schema import Checker
from trimtab.schema.frames import opened
from trimtab.types import (
    Comparison,
    FeatureKind,
    FeatureSpec,
    RowRequest,
    Signature,
    Task,
    Verdict,
    Window,
)
from trimtab.wiring.references import references_of

_PIECE_ROWS = 65_536


class DriftDetector:
    """Says which features have drifted from a reference, and how far; thread-safe.

    Rows are a pandas, polars or pyarrow frame, a dict of columns, a list of dicts, or an array of
    shape ``(rows, features)``, whose columns are called ``x0``, ``x1``, ... in a reference and have
    the reference's order afterwards.

    Args:
        reference_data: The rows that the model was trained on, features only.
        times: Each reference row's time, as Unix seconds or datetimes. With 20 blocks of
            ``block_seconds`` or more, features that differ from block to block anyway need to
            differ more before they count as drifted.
        block_seconds: How long a block is.
        window_rows: How many rows fill a window of :meth:`score`.
        min_rows: Fewer rows than these say nothing.
        types: Kinds by column (``numeric``, ``integer``, ``boolean``, ``categorical``), where they
            are not what the column looks like: ``{"zip": "categorical"}``.
        units: What columns are measured in, such as ``{"distance": "mile"}``.
        segment_by: A column whose most frequent values are compared apart, each with its own part
            of the reference.
        multivariate: Tests of all features together on samples of rows: ``mmd``, ``pca``,
            ``domain_classifier``. Columns of vectors are always tested, by ``mmd``.

    Raises:
        InvalidInput: the reference has no rows, or a column is of a type that cannot be compared.

    Example:
        >>> detector = DriftDetector({"age": list(range(20, 70)) * 20, "paid": [True, False] * 500})
        >>> detector.detect_drift({"age": list(range(45, 95)) * 4, "paid": [True, False] * 100})
        (True, {'age': 0.5, 'paid': 0.0})
        >>> detector.score({"age": 99, "paid": True})
        0.0
    """

    def __init__(
        self,
        reference_data: object,
        *,
        times: object = None,
        block_seconds: float = 86_400.0,
        window_rows: int = 1_000,
        min_rows: int = 30,
        types: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
        segment_by: str | None = None,
        multivariate: Sequence[str] = (),
    ) -> None:
        table = opened(table_of(reference_data))
        if not len(table):
            raise InvalidInput(
                "The reference has no rows.", hint="Pass the training features.", code="no_rows"
            )
        embedded = [name for name in table.columns if is_vector(table[name])]
        kinds = {name: _kind(kind, name) for name, kind in (types or {}).items()}
        specs = kinds_of(table.drop(embedded), kinds)
        specs = tuple(replace(spec, unit=(units or {}).get(spec.name)) for spec in specs)
        # A column of text is taken for numbers only where `types` says so.
        rows = read_columns(specs, table, numerals=True)
        seconds = None if times is None else seconds_of(times)
        self._profile = profile_of(specs, rows.arrays, times=seconds, block_seconds=block_seconds)
        self._segments = SegmentComparers.of(rows, segment_by, seconds, block_seconds)
        self._together = TogetherTests.of(rows, table, embedded, multivariate)
        self._taken = Signature(features=tuple(map(_widened, specs)), task=Task.REGRESSION)
        self._quality = QualityComparer(references_of(self._profile), self._profile.repeated)
        self._checker = Checker(self._taken, unknown="ignore")
        self._comparer = FeatureComparer(self._profile)
        self._watch = WatchConfig(min_rows=min_rows)
        self._current = CurrentWindow(self._profile, self._checker, window_rows, min_rows)
        self._shown: dict[str, float] = {}

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the reference's features, in its order."""
        return self._taken.names

    def detect_drift(
        self, new_data: object, threshold: float = 0.1
    ) -> tuple[bool, dict[str, float]]:
        """Whether a feature has drifted, and each feature's score.

        A feature has drifted when it differs from the reference significantly (Benjamini-Hochberg
        over all features, 5 %), enough to matter, and with a score of at least ``threshold``.

        Args:
            new_data: Rows, in any form that the reference can have.
            threshold: In [0, 1].

        Returns:
            The scores are effect sizes in [0, 1], such as the largest gap between the two
            distribution functions. They grow with drift, whatever the number of rows, and are 0
            where a difference does not stand out from noise.

        Raises:
            InvalidInput: the rows cannot be compared, or the threshold is out of bounds.
        """
        if not 0 <= threshold <= 1:
            raise InvalidInput(
                f"The threshold {threshold!r} is not between 0 and 1.",
                hint="A score of 0.1 is a small shift, of 0.3 a large one.",
                code="invalid_threshold",
                path="threshold",
            )
        verdict = self.verdict(new_data)
        if verdict.rows < self._watch.min_rows:
            return False, dict.fromkeys(self.features, 0.0)
        significant = {c.name for c in flag([replace(c, floor=0.0) for c in verdict.comparisons])}
        compared = verdict.comparisons[: len(self.features)]
        scores = {c.name: c.score if c.name in significant else 0.0 for c in compared}
        drifted = any(scores.get(name, 0.0) >= threshold for name in verdict.flagged)
        self._shown = scores
        return drifted, scores

    def verdict(self, new_data: object) -> Verdict:
        """All that is known of the rows: every comparison, also of correlations, and words.

        Args:
            new_data: Rows, in any form that the reference can have.

        Raises:
            InvalidInput: the rows cannot be compared.
        """
        table = opened(table_of(new_data, self.features))
        if self._together.wanted:
            return self._report(self._summed(_pieces(table), len(table)), 0.0).verdict
        for name in self.features:
            column_of(table, name)
        return self._judged(window_with(sketch_frame(self._profile, table, numbers_of)))

    def report(self, new_data: object, threshold: float = 0.1) -> DriftReport:
        """Everything: drift, data quality, segments, pictures; a page in a notebook.

        Args:
            new_data: Rows, in any form that the reference can have.
            threshold: The score from which on a flagged feature counts as drifted.
        """
        table = opened(table_of(new_data, self.features))
        return self._report(self._summed(_pieces(table), len(table)), threshold)

    def report_batches(
        self,
        batches: Iterable[object],
        threshold: float = 0.1,
        rows: int | None = None,
        *,
        numerals: bool = False,
    ) -> DriftReport:
        """As :meth:`report`, of frames that come one after the other; none of them is kept.

        The multivariate tests see the rows of the first frames, up to 2,000.

        Args:
            batches: Rows, in any form that the reference can have.
            threshold: As for :meth:`report`.
            rows: How many there are in all, where it is known: of more than 20,000, correlations are
                taken from evenly spaced ones.
            numerals: Whether text that spells a number is one: files of plain text know nothing else.
        """
        summed = self._summed(map(opened, batches), rows or 0, numerals=numerals)
        return self._report(summed, threshold)

    def _summed(
        self, tables: Iterable[Any], expected: int, *, numerals: bool = False
    ) -> WindowRows:
        step = max(1, -(-expected // PAIR_ROWS))
        rows = WindowRows(self._profile, self._segments, self._together, step)
        for table in tables:
            rows.add(read_columns(self._taken.features, table, numerals=numerals), table)
        return rows

    def _judged(self, window: Window, together: Sequence[Comparison] = ()) -> Verdict:
        judge = DriftJudge(DATA_DRIFT, self._watch)
        return judge.judge(window, [*self._comparer.compare(window), *together])

    def _report(self, rows: WindowRows, threshold: float) -> DriftReport:
        watch, window = self._watch, rows.window()
        enough = window.rows >= watch.min_rows
        verdict = self._judged(window, self._together.compare(rows) if enough else ())
        quality = DriftJudge(DATA_QUALITY, watch).judge(window, self._quality.compare(window))
        flagged = {*verdict.flagged, *quality.flagged} if enough else set()
        return DriftReport(
            verdict=verdict,
            quality=quality,
            segments=self._segments.judge(rows, watch),
            threshold=threshold,
            pictures=pictures_of(self._profile, window, flagged),
        )

    def score(self, features: object) -> float:
        """Add a row, or several, to the current window; how far the window has drifted.

        One row is no drift: the score is 0 until a tenth of a window is there. After that it is the
        largest effect that stands out, and a full window is needed to lower it.

        Args:
            features: One row (a dict, a pandas Series, a flat array) or rows.

        Returns:
            In [0, 1].

        Raises:
            InvalidInput: the rows cannot be compared.
        """
        row = row_of(features, self.features)
        if row is None:
            table = opened(table_of(features, self.features))
            return self._current.add(read_columns(self._taken.features, table).arrays)
        values, _ = self._checker.check(RowRequest(features=row), "")
        return self._current.add_row(values)

    def _repr_html_(self) -> str:
        """A table for notebooks: the reference, and the last scores."""
        rows = "".join(
            f"<tr><td>{escape(profile.feature.name)}</td><td>{profile.feature.kind.value}</td>"
            f"<td>{profile.missing_rate:.1%}</td><td>{_cell(self._shown, profile.feature.name)}</td>"
            "</tr>"
            for profile in self._profile.features
        )
        return (
            f"<table><caption>Reference of {self._profile.rows:,} rows</caption>"
            "<thead><tr><th>feature</th><th>kind</th><th>missing</th><th>last score</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def _pieces(table: Any) -> Iterator[Any]:
    """A table piece by piece, so that no more than a piece is ever converted; empty ones whole."""
    for start in range(0, max(len(table), 1), _PIECE_ROWS):
        yield table if len(table) <= _PIECE_ROWS else table[start : start + _PIECE_ROWS]


def _kind(name: str, column: str) -> FeatureKind:
    try:
        return FeatureKind(name)
    except ValueError:
        raise InvalidInput(
            f"{name!r} is no type of feature.",
            hint=f"Types are: {', '.join(FeatureKind)}.",
            code="unknown_type",
            path=f"types.{column}",
        ) from None


def _widened(spec: FeatureSpec) -> FeatureSpec:
    """What is compared may have gaps and fractions that the reference did not have."""
    kind = FeatureKind.NUMERIC if spec.kind is FeatureKind.INTEGER else spec.kind
    return replace(spec, kind=kind, nullable=True)


def _cell(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.3f}" if name in scores else "–"
