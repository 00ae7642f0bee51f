"""window -> compare: what is broken in each feature of a window."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.quality.checks import Found, Reference, Usual, checked
from trimtab.quality.repeats import repeated_rows
from trimtab.sketch import RepeatedRows, TableSketch
from trimtab.types import Comparison, Window

__all__ = ["DATA_QUALITY", "QualityComparer", "Reference", "Usual"]

DATA_QUALITY = "data_quality"
_LEVEL = 0.05


class QualityComparer:
    """Checks each feature of a window; implements :class:`trimtab.protocols.Comparer`.

    Of a feature's checks the smallest p-value counts, times their number (Bonferroni), so that the
    judge's correction over features holds for all of them together. A check whose effect is below
    its floor is no finding at any sample size.

    Args:
        references: The reference's features, in the order of the window's.
        repeated: How many of the reference's rows repeat another; None leaves that out.
    """

    def __init__(
        self, references: Sequence[Reference], repeated: RepeatedRows | None = None
    ) -> None:
        self._references = tuple(references)
        self._repeated = repeated

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a feature, and one of whole rows where the window has kept some.

        Windows of ``WindowSketch`` also tell of types.
        """
        table: TableSketch = window.content
        odd = getattr(table, "odd", None)
        found = [
            self._feature(
                reference, list(checked(reference, current, 0 if odd is None else int(odd[at])))
            )
            if current.rows or not table.rows
            else _withheld(reference)
            for at, (reference, current) in enumerate(
                zip(self._references, table.features, strict=True)
            )
        ]
        if self._repeated is not None and table.distinct is not None and table.rows:
            found.append(repeated_rows(self._repeated, table.distinct))
        return found

    def _feature(self, reference: Reference, found: Sequence[Found]) -> Comparison:
        material = [one for one in found if one.effect >= one.floor]
        p_values = {one.check: min(1.0, one.p_value * len(found)) for one in found}
        least = min((p_values[one.check] for one in material), default=1.0)
        sure = [one for one in material if p_values[one.check] <= _LEVEL]
        # A change of unit comes first: it is what puts values out of range.
        said = sorted(sure, key=lambda one: (one.check != "unit_change", -one.effect))
        chosen = said[0] if said else max(material or found, key=lambda one: one.effect)
        return Comparison(
            name=reference.feature.name,
            statistic=chosen.check,
            score=chosen.effect,
            noise_floor=0.0,
            floor=chosen.floor,
            p_value=least,
            words="; ".join(one.words for one in said) or "nothing is wrong",
            reference_value=chosen.before,
            current_value=chosen.now,
        )


def _withheld(reference: Reference) -> Comparison:
    return Comparison(
        name=reference.feature.name,
        statistic="none",
        score=0.0,
        noise_floor=0.0,
        floor=0.0,
        p_value=None,
        words="withheld from the journal",
    )
