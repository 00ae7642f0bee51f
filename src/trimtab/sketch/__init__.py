"""Mergeable summaries of rows: what is kept of traffic once the rows themselves are gone.

A numeric value is standardised by the reference's median and interquartile range and cast to
float32; its top 14 bits (sign, exponent, 5 bits of mantissa) are its bin. So there is no sort, no
search and no edge that depends on the data seen, and merging is integer addition: exact, in any
order and grouping. A bin is as wide as 1/32 of its distance from the median (1/128 at 16 bits).
"""

from trimtab.sketch.accumulate import Accumulator
from trimtab.sketch.categories import CATEGORY_LIMIT, FRESH_LIMIT
from trimtab.sketch.cells import Cells, side_by_side
from trimtab.sketch.feature import fit, merge, merge_all, sketch, subtract
from trimtab.sketch.numbers import quantile, standardised, value_of
from trimtab.sketch.records import (
    COARSE_BITS,
    FINE_BITS,
    Binning,
    Coded,
    Column,
    Counted,
    IntArray,
    Sketch,
)
from trimtab.sketch.rows import RepeatedRows, RowSketch, merge_rows, repeated, sketch_rows
from trimtab.sketch.table import Sketcher, TableSketch, merge_many, merge_tables, pair_sums
from trimtab.sketch.wire import from_bytes, to_bytes

__all__ = [
    "CATEGORY_LIMIT",
    "COARSE_BITS",
    "FINE_BITS",
    "FRESH_LIMIT",
    "Accumulator",
    "Binning",
    "Cells",
    "Coded",
    "Column",
    "Counted",
    "IntArray",
    "RepeatedRows",
    "RowSketch",
    "Sketch",
    "Sketcher",
    "TableSketch",
    "fit",
    "from_bytes",
    "merge",
    "merge_all",
    "merge_many",
    "merge_rows",
    "merge_tables",
    "pair_sums",
    "quantile",
    "repeated",
    "side_by_side",
    "sketch",
    "sketch_rows",
    "standardised",
    "subtract",
    "to_bytes",
    "value_of",
]
