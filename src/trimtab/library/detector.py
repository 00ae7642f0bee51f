"""Drift of rows at hand against a reference."""

from __future__ import annotations

from html import escape

from msgspec.structs import replace

from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer, build_profile, window_of
from trimtab.errors import InvalidInput
from trimtab.judge import DriftJudge, flag
from trimtab.library.current import CurrentWindow
from trimtab.library.tables import row_of, seconds_of, table_of
from trimtab.schema import Checker, columns_from_frame, infer_signature
from trimtab.types import Columns, FeatureKind, FeatureSpec, RowRequest, Task, Verdict


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
    ) -> None:
        frame = table_of(reference_data)
        signature = infer_signature(frame, task=Task.REGRESSION)
        self._profile = build_profile(
            columns_from_frame(signature, frame),
            times=None if times is None else seconds_of(times),
            block_seconds=block_seconds,
        )
        self._taken = replace(signature, features=tuple(map(_widened, signature.features)))
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
        window = window_of(self._profile, self._columns(new_data))
        judge = DriftJudge(DATA_DRIFT, self._watch)
        return judge.judge(window, self._comparer.compare(window))

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
            return self._current.add(self._columns(features))
        values, _ = self._checker.check(RowRequest(features=row), "")
        return self._current.add_row(values)

    def _columns(self, data: object) -> Columns:
        return columns_from_frame(self._taken, table_of(data, self.features))

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


def _widened(spec: FeatureSpec) -> FeatureSpec:
    """What is compared may have gaps and fractions that the reference did not have."""
    kind = FeatureKind.NUMERIC if spec.kind is FeatureKind.INTEGER else spec.kind
    return replace(spec, kind=kind, nullable=True)


def _cell(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.3f}" if name in scores else "–"
