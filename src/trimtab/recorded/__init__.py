"""What the journal holds, many records at a time: as columns, and as records where somebody asks for one.

Records of one model mostly look alike: the same fields, of the same types and lengths, at the same places of
their bytes. Such records are a table whose columns are read with a few calls, however many rows there are;
what is in no table is decoded record by record.
"""

from trimtab.recorded.batch import Recorded, decoded, joined, recorded, watermarks
from trimtab.recorded.facts import Facts, facts_of
from trimtab.recorded.layout import Layout, Spot, layout_of
from trimtab.recorded.pieces import Alike, Loose, Piece, Places

__all__ = [
    "Alike",
    "Facts",
    "Layout",
    "Loose",
    "Piece",
    "Places",
    "Recorded",
    "Spot",
    "decoded",
    "facts_of",
    "joined",
    "layout_of",
    "recorded",
    "watermarks",
]
