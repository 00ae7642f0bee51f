"""What the journal holds, many records at a time: as columns, and as records where somebody asks for one.

Records of one model are built alike: as many features, outputs and keys. Such records are laid out so that each
field stands at the same place of a row, whatever is missing and however long texts are: a table whose columns
are read with a few calls, however many rows there are. What is in no table is decoded record by record.
"""

from trimtab.recordtable.columns import numbers_at, values_at, variants
from trimtab.recordtable.facts import Facts, facts_of
from trimtab.recordtable.layout import NO_RECORD, Bytes, Places, Spot
from trimtab.recordtable.pieces import Alike, Loose, Piece
from trimtab.recordtable.table import RecordTable, decoded, joined, table_of, watermarks

__all__ = [
    "NO_RECORD",
    "Alike",
    "Bytes",
    "Facts",
    "Loose",
    "Piece",
    "Places",
    "RecordTable",
    "Spot",
    "decoded",
    "facts_of",
    "joined",
    "numbers_at",
    "table_of",
    "values_at",
    "variants",
    "watermarks",
]
