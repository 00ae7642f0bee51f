"""The local batch engine: what it asks, what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from trimtab.batch.local import LocalEngine
from trimtab.batch.plan import BatchPlan, Manifest, digest_of, read_manifest
from trimtab.errors import (
    Conflict,
    InvalidInput,
    InvalidPlan,
    InvalidRow,
    ModelFailure,
    TrimtabError,
    Unavailable,
)
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictAnswer,
    Prediction,
    RowRequest,
    Signature,
    Task,
)

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC, nullable=True),
        FeatureSpec(name="hour", kind=FeatureKind.INTEGER, nullable=True),
        FeatureSpec(name="origin", kind=FeatureKind.CATEGORICAL, nullable=True),
    ),
    task=Task.BINARY,
    labels=("on_time", "late"),
)
ROWS: list[dict[str, Any]] = [
    {"flight": "007", "distance": 100.0, "hour": 6, "origin": "JFK"},
    {"flight": "008", "distance": None, "hour": 7, "origin": "LGA"},
    {"flight": "009", "distance": 300.5, "hour": None, "origin": None},
    {"flight": "010", "distance": 400.0, "hour": 9, "origin": "EWR"},
    {"flight": "011", "distance": 500.0, "hour": 10, "origin": "JFK"},
]


class Scorer:
    """Answers like a prediction flow, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[RowRequest]] = []

    def __call__(self, rows: Sequence[RowRequest]) -> PredictAnswer:
        self.asked.append(list(rows))
        return PredictAnswer(
            model="flights_late", epoch=3, predictions=tuple(self._answer(row) for row in rows)
        )

    def _answer(self, row: RowRequest) -> Prediction:
        score = float(row.features["distance"] or 0) / 1_000
        return Prediction(
            prediction_id=row.prediction_id or "",
            version=2,
            arm="champion",
            score=score,
            outputs=(1 - score, score),
            decision="late" if score >= 0.4 else "on_time",
            sources="qqq",
        )


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


def csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    pacsv.write_csv(pa.Table.from_pylist(rows), path)
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    kept = [{k: v for k, v in row.items() if v is not None} for row in rows]
    path.write_text("\n".join(json.dumps(row) for row in kept) + "\n\n")
    return path


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    return parquet(tmp_path / "flights.parquet", ROWS)


def plan_of(path: Path, **changes: Any) -> BatchPlan:
    plan = BatchPlan(
        input=str(path),
        output=str(path.parent / "scored"),
        model="flights_late",
        version=2,
        chunk_rows=2,
        key="flight",
        passthrough=("origin",),
    )
    return msgspec.structs.replace(plan, **changes)


def scored(manifest: Manifest) -> list[dict[str, Any]]:
    directory = Path(manifest.plan.output)
    tables = [pq.read_table(directory / part.file) for part in manifest.parts]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


def test_every_row_is_asked_in_order_and_answered_in_parts(input_file: Path) -> None:
    score = Scorer()
    manifest = LocalEngine(score, SIGNATURE).run(plan_of(input_file))
    assert [len(rows) for rows in score.asked] == [2, 2, 1]
    assert score.asked[1][0] == RowRequest(
        features={"distance": 300.5, "hour": None, "origin": None},
        key="009",
        prediction_id=f"{manifest.job}-2",
    )
    assert [(p.file, p.first_row, p.rows) for p in manifest.parts] == [
        ("part-00000.parquet", 0, 2),
        ("part-00001.parquet", 2, 2),
        ("part-00002.parquet", 4, 1),
    ]
    assert (manifest.state, manifest.rows, manifest.rows_done) == ("done", 5, 5)
    assert scored(manifest)[3] == {
        "row": 3,
        "prediction_id": f"{manifest.job}-3",
        "key": "010",
        "origin": "EWR",
        "score": 0.4,
        "outputs": [0.6, 0.4],
        "decision": "late",
        "version": 2,
        "sources": "qqq",
    }


@pytest.mark.parametrize("write", [csv, jsonl])
def test_all_kinds_of_input_are_asked_alike(tmp_path: Path, input_file: Path, write: Any) -> None:
    expected, found = Scorer(), Scorer()
    first = LocalEngine(expected, SIGNATURE).run(plan_of(input_file))
    path = write(tmp_path / f"flights.{write.__name__}", ROWS)
    second = LocalEngine(found, SIGNATURE).run(plan_of(path, output=str(tmp_path / "other")))
    ids = [row.pop("prediction_id") for rows in (scored(first),) for row in rows]
    assert len(set(ids)) == 5
    assert [
        [msgspec.structs.replace(row, prediction_id=None) for row in rows] for rows in found.asked
    ] == [
        [msgspec.structs.replace(row, prediction_id=None) for row in rows]
        for rows in expected.asked
    ]
    assert [row["origin"] for row in scored(second)] == [row["origin"] for row in ROWS]


def test_integers_with_gaps_that_a_file_stores_as_floats_are_integers_again(tmp_path: Path) -> None:
    score = Scorer()
    table = pa.table({"distance": [1.0, 2.0], "hour": [6.0, float("nan")], "origin": ["a", "b"]})
    pq.write_table(table, tmp_path / "in.parquet")
    LocalEngine(score, SIGNATURE).run(plan_of(tmp_path / "in.parquet", key=""))
    hours = [row.features["hour"] for row in score.asked[0]]
    assert (hours, type(hours[0])) == ([6, None], int)


@pytest.mark.parametrize(
    "value", ["2013-05-02T00:00:00Z", "2013-05-02 00:00:00", "1367452800", 1367452800,
              1367452800.0, datetime(2013, 5, 2), datetime(2013, 5, 2, tzinfo=UTC)]  # noqa: DTZ001
)  # fmt: skip
def test_event_times_may_be_timestamps_numbers_or_text(tmp_path: Path, value: Any) -> None:
    score = Scorer()
    path = parquet(tmp_path / "in.parquet", [ROWS[0] | {"at": value}])
    LocalEngine(score, SIGNATURE).run(plan_of(path, event_time="at"))
    assert score.asked[0][0].event_time == 1_367_452_800.0


def test_an_impossible_event_time_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [row | {"at": "2013-05-02"} for row in ROWS[:3]] + [ROWS[3] | {"at": "soon"}]
    path = parquet(tmp_path / "in.parquet", rows)
    with pytest.raises(InvalidRow) as caught:
        LocalEngine(Scorer(), SIGNATURE).run(plan_of(path, event_time="at"))
    assert caught.value.path == "rows[3].event_time"


def test_views_provide_features_and_need_entities(tmp_path: Path) -> None:
    score = Scorer()
    path = parquet(tmp_path / "in.parquet", [{"airport": "JFK", "distance": 1.0, "hour": 2}])
    engine = LocalEngine(score, SIGNATURE, entities=("airport",), optional={"origin"})
    engine.run(plan_of(path, key="", passthrough=()))
    assert score.asked[0][0].features == {"distance": 1.0, "hour": 2, "airport": "JFK"}


def test_a_regressions_decision_is_a_number(tmp_path: Path) -> None:
    def score(rows: Sequence[RowRequest]) -> PredictAnswer:
        made = [
            Prediction(
                prediction_id=row.prediction_id or "",
                version=1,
                arm="champion",
                score=7.5,
                outputs=(7.5,),
                decision=7.5,
                sources="qqq",
            )
            for row in rows
        ]
        return PredictAnswer(model="m", epoch=1, predictions=tuple(made))

    regression = msgspec.structs.replace(SIGNATURE, task=Task.REGRESSION, labels=())
    path = parquet(tmp_path / "in.parquet", ROWS)
    manifest = LocalEngine(score, regression).run(plan_of(path))
    assert {row["decision"] for row in scored(manifest)} == {7.5}


def test_progress_is_told_at_the_start_and_after_every_part(input_file: Path) -> None:
    told: list[tuple[int, int]] = []
    engine = LocalEngine(Scorer(), SIGNATURE, progress=lambda done, all_: told.append((done, all_)))
    engine.run(plan_of(input_file))
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]
    told.clear()
    engine.run(plan_of(input_file))
    assert told == [(5, 5)]


def test_a_finished_job_is_not_done_again(input_file: Path) -> None:
    first = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    score = Scorer()
    assert LocalEngine(score, SIGNATURE).run(plan_of(input_file)) == first
    assert score.asked == []


def test_a_damaged_part_and_all_after_it_are_done_again(input_file: Path) -> None:
    first = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    (Path(first.plan.output) / "part-00001.parquet").write_bytes(b"torn")
    score = Scorer()
    assert LocalEngine(score, SIGNATURE).run(plan_of(input_file)) == first
    assert [len(rows) for rows in score.asked] == [2, 1]


def test_the_manifest_names_bytes_that_are_there(input_file: Path) -> None:
    manifest = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    directory = Path(manifest.plan.output)
    assert read_manifest(directory) == manifest
    assert manifest.input_digest == digest_of(input_file)
    for part in manifest.parts:
        path = directory / part.file
        assert (part.digest, part.size_bytes) == (digest_of(path), path.stat().st_size)
    assert sorted(p.name for p in directory.iterdir()) == [
        "manifest.json",
        *(part.file for part in manifest.parts),
    ]


@pytest.mark.parametrize(
    "changes", [{"version": 3}, {"chunk_rows": 3}, {"passthrough": ()}, {"key": ""}]
)
def test_the_output_of_another_plan_is_kept_unless_forced(
    input_file: Path, changes: dict[str, Any]
) -> None:
    first = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    other = plan_of(input_file, **changes)
    with pytest.raises(Conflict) as caught:
        LocalEngine(Scorer(), SIGNATURE).run(other)
    assert caught.value.code == "output_exists"
    assert "--force" in caught.value.hint
    assert read_manifest(Path(first.plan.output)) == first
    second = LocalEngine(Scorer(), SIGNATURE).run(other, force=True)
    assert (second.plan, second.state) == (other, "done")
    parts = sorted(path.name for path in Path(other.output).glob("part-*"))
    assert parts == [part.file for part in second.parts]


def test_a_changed_input_is_another_job(input_file: Path) -> None:
    LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    parquet(input_file, ROWS[:4])
    with pytest.raises(Conflict):
        LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))


def test_a_directory_of_other_files_is_never_touched(input_file: Path) -> None:
    directory = input_file.parent / "scored"
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(Conflict):
            LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file), force=force)
    assert (directory / "thesis.txt").read_text() == "years of work"


def test_a_damaged_manifest_is_refused_unless_forced(input_file: Path) -> None:
    directory = input_file.parent / "scored"
    directory.mkdir()
    (directory / "manifest.json").write_text("{")
    with pytest.raises(InvalidPlan) as caught:
        LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    assert caught.value.code == "damaged_manifest"
    manifest = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file), force=True)
    assert manifest.state == "done"


def run_on(path: Path, **changes: Any) -> TrimtabError:
    with pytest.raises(TrimtabError) as caught:
        LocalEngine(Scorer(), SIGNATURE).run(plan_of(path, **changes))
    assert not (path.parent / "scored").exists()
    return caught.value


def test_missing_columns_are_named_with_those_there_are(tmp_path: Path) -> None:
    path = csv(tmp_path / "in.csv", [{"distance": 1.0, "flight": "1"}])
    error = run_on(path, event_time="at")
    assert (type(error), error.code) == (InvalidInput, "missing_columns")
    assert error.message == "The input lacks 'hour', 'origin', 'at'."
    assert error.hint == "It has distance, flight."


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("in.csv", "distance,hour,origin,flight\n", "empty_input"),
        ("in.csv", "", "unreadable_input"),
        ("in.csv", "distance,hour,origin,flight\n1,2\n", "unreadable_input"),
        ("in.jsonl", "[1]\n", "unreadable_input"),
        ("in.jsonl", "", "missing_columns"),
        ("in.parquet", "PAR?", "unreadable_input"),
        ("in.xlsx", "", "unknown_input"),
    ],
)
def test_unusable_inputs_are_refused(tmp_path: Path, name: str, text: str, code: str) -> None:
    (tmp_path / name).write_text(text)
    assert run_on(tmp_path / name).code == code


def test_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert run_on(tmp_path / "in.csv").code == "input_not_found"


def test_a_cell_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("distance,hour,origin,flight\nfar,2,JFK,7\n")
    with pytest.raises(InvalidInput, match="far"):
        LocalEngine(Scorer(), SIGNATURE).run(plan_of(tmp_path / "in.csv"))


def test_a_column_cannot_be_passed_through_under_the_name_of_an_output(tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", [ROWS[0] | {"score": 1.0}])
    assert run_on(path, passthrough=("score",)).code == "reserved_name"


def test_a_part_needs_rows(input_file: Path) -> None:
    assert run_on(input_file, chunk_rows=0).path == "chunk_rows"


def test_a_row_that_cannot_be_scored_is_named_by_its_place_in_the_input(input_file: Path) -> None:
    def score(rows: Sequence[RowRequest]) -> PredictAnswer:
        if rows[0].key == "009":
            raise InvalidRow("too far", path="rows[1].features.distance", code="out_of_range")
        return Scorer()(rows)

    with pytest.raises(InvalidRow) as caught:
        LocalEngine(score, SIGNATURE).run(plan_of(input_file))
    assert (caught.value.path, caught.value.code) == ("rows[3].features.distance", "out_of_range")
    manifest = read_manifest(input_file.parent / "scored")
    assert manifest is not None
    assert (manifest.rows_done, manifest.state) == (2, "running")


def test_an_answer_for_other_rows_is_a_failure_of_the_model(input_file: Path) -> None:
    def score(rows: Sequence[RowRequest]) -> PredictAnswer:
        return Scorer()(list(reversed(rows)))

    with pytest.raises(ModelFailure) as caught:
        LocalEngine(score, SIGNATURE).run(plan_of(input_file))
    assert caught.value.code == "answers_do_not_match"


def test_a_disk_that_refuses_says_that_finished_parts_are_kept(input_file: Path) -> None:
    directory = input_file.parent / "scored"

    def score(rows: Sequence[RowRequest]) -> PredictAnswer:
        if rows[0].key == "009":
            (directory / ".part-00001.parquet.tmp").mkdir()
        return Scorer()(rows)

    with pytest.raises(Unavailable) as caught:
        LocalEngine(score, SIGNATURE).run(plan_of(input_file))
    assert caught.value.code == "output_unavailable"
    assert "kept" in caught.value.hint


def test_a_job_is_the_same_wherever_its_files_lie(tmp_path: Path, input_file: Path) -> None:
    first = LocalEngine(Scorer(), SIGNATURE).run(plan_of(input_file))
    (tmp_path / "scored").rename(tmp_path / "moved")
    moved = plan_of(input_file.rename(tmp_path / "renamed.parquet"), output=str(tmp_path / "moved"))
    score = Scorer()
    second = LocalEngine(score, SIGNATURE).run(msgspec.structs.replace(moved, alias="champion"))
    assert (score.asked, second.parts, second.job) == ([], first.parts, first.job)
