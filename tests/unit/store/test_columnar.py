from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv

from trimtab.errors import InvalidInput, NotFound, Unavailable
from trimtab.store.columnar import read_batches, read_frame, write_parquet

TABLE = pa.table(
    {
        "distance": pa.array([1.5, None, 3.0]),
        "carrier": pa.array(["UA", "B6", None]),
        "stops": pa.array([1, 2, 3]),
    }
)


def parquet_file(path: Path) -> None:
    write_parquet(path, TABLE.schema, TABLE.to_batches())


def csv_file(path: Path) -> None:
    csv.write_csv(TABLE, path)


def csv_gz_file(path: Path) -> None:
    path.write_bytes(gzip.compress(b"distance,carrier,stops\n1.5,UA,1\nNA,B6,2\n3,,3\n"))


def lines_file(path: Path) -> None:
    path.write_text(
        '{"distance":1.5,"carrier":"UA","stops":1}\n'
        '{"distance":null,"carrier":"B6","stops":2}\n'
        '{"distance":3.0,"carrier":null,"stops":3}\n'
    )


@pytest.fixture(
    params=[
        ("flights.parquet", parquet_file),
        ("flights.PQ", parquet_file),
        ("flights.csv", csv_file),
        ("flights.csv.gz", csv_gz_file),
        ("flights.jsonl", lines_file),
        ("flights.ndjson", lines_file),
    ],
    ids=lambda param: str(param[0]),
)
def frame(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, write = request.param
    write(tmp_path / name)
    return tmp_path / str(name)


def test_every_format_reads_the_same(frame: Path) -> None:
    assert TABLE.to_pydict() == read_frame(frame).to_pydict()


def test_columns_are_chosen_in_order(frame: Path) -> None:
    assert ["stops", "carrier"] == read_frame(frame, ["stops", "carrier"]).column_names


def test_an_unknown_column_is_named(frame: Path) -> None:
    with pytest.raises(InvalidInput, match="'origin'") as refused:
        read_frame(frame, ["stops", "origin"])
    assert "unknown_column" == refused.value.code


def test_batches_are_the_file_in_pieces(frame: Path) -> None:
    pieces = list(read_batches(frame, rows=2))
    assert [2, 1] == [piece.num_rows for piece in pieces]
    assert TABLE.to_pydict() == pa.Table.from_batches(pieces).to_pydict()


Reader = Callable[[Path], object]


def all_batches(path: Path) -> object:
    return list(read_batches(path))


@pytest.mark.parametrize("read", [read_frame, all_batches])
def test_a_missing_file_is_not_found(tmp_path: Path, read: Reader) -> None:
    with pytest.raises(NotFound) as missing:
        read(tmp_path / "nothing.csv")
    assert "file_not_found" == missing.value.code


@pytest.mark.parametrize("read", [read_frame, all_batches])
def test_an_unknown_ending_lists_the_known_ones(tmp_path: Path, read: Reader) -> None:
    (tmp_path / "frame.xlsx").write_text("")
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "frame.xlsx")
    assert "unknown_format" == refused.value.code
    assert ".parquet" in refused.value.hint


@pytest.mark.parametrize("read", [read_frame, all_batches])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 torn"),
        ("a.parquet", b""),
        ("a.csv", b""),
        ("a.csv", b"x,y\n1,2\n1,2,3\n"),
        ("a.csv.gz", b"x,y\n1,2\n"),
        ("a.jsonl", b'{"x":1}\n{"x":'),
        ("a.jsonl", b'[{"x":1}]'),
    ],
)
def test_garbled_content_is_said_to_be_so(
    tmp_path: Path, read: Reader, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / name)
    assert "unreadable_file" == refused.value.code


def test_a_torn_parquet_file_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet_file(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidInput):
        read_frame(path)


def test_parquet_is_written_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.parquet"
    assert 6 == write_parquet(path, TABLE.schema, TABLE.to_batches() * 2)
    assert TABLE.schema == read_frame(path).schema
    assert 0 == write_parquet(path, TABLE.schema, [])
    assert (0, TABLE.schema) == (read_frame(path).num_rows, read_frame(path).schema)


def test_a_failed_write_leaves_the_file_before(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches()
        raise KeyError

    path = tmp_path / "a.parquet"
    parquet_file(path)
    with pytest.raises(KeyError):
        write_parquet(path, TABLE.schema, broken())
    assert ([path], 3) == (list(tmp_path.iterdir()), read_frame(path).num_rows)


def test_a_full_disk_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet_file(path)
    program = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from trimtab.errors import Unavailable
from trimtab.store.columnar import write_parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
table = pa.table({"x": np.random.default_rng(1).random(200_000)})
try:
    write_parquet(Path(sys.argv[1]), table.schema, table.to_batches())
except Unavailable as full:
    print(full.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
    )
    assert "disk_refused\n" == done.stdout
    assert ([path], 3) == (list(tmp_path.iterdir()), read_frame(path).num_rows)


def test_an_unwritable_place_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        parquet_file(tmp_path / "file" / "a.parquet")
