"""Data quality as a subject: what is broken in the data, apart from what has drifted."""

from trimtab.quality.comparer import DATA_QUALITY, QualityComparer, Reference, Usual
from trimtab.quality.units import UnitChange, unit_change

__all__ = ["DATA_QUALITY", "QualityComparer", "Reference", "UnitChange", "Usual", "unit_change"]
