"""What a comparison found: for people, for programs, for notebooks and for CI."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab import plugins
from trimtab.report.distributions import Picture
from trimtab.types import Verdict


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The verdicts on drift and on data quality, and by segment; shown as a page in a notebook.

    ``threshold`` is the score from which on a flagged feature counts as drifted. ``pictures`` are the
    distributions of the features that are flagged.
    """

    verdict: Verdict
    quality: Verdict
    segments: dict[str, Verdict]
    threshold: float
    pictures: tuple[Picture, ...]

    @property
    def drifted(self) -> bool:
        """Whether a flagged comparison, of all rows or of a segment, scores the threshold or more."""
        return any(map(self._over, (self.verdict, *self.segments.values())))

    @property
    def broken(self) -> bool:
        """Whether a feature has a fault of data quality."""
        return bool(self.quality.flagged)

    def to_html(self, reference: str = "the reference", current: str = "current data") -> str:
        """One self-contained HTML document.

        Args:
            reference: What the reference is called.
            current: What the current data is called.
        """
        return str(
            _page(self.verdict, reference, current, self.quality, self.segments, self.pictures)
        )

    def _repr_html_(self) -> str:
        fragment = plugins.by_path("trimtab.report.drift_page:render_fragment")
        return str(fragment(self.verdict, self.quality, self.segments, self.pictures))

    def _over(self, verdict: Verdict) -> bool:
        flagged = frozenset(verdict.flagged)
        scores = (c.score for c in verdict.comparisons if c.name in flagged)
        return any(score >= self.threshold for score in scores)


def _page(*args: object) -> object:
    """The report's templates are loaded when a page is wanted, not with the class."""
    return plugins.by_path("trimtab.report.drift_page:render_drift")(*args)
