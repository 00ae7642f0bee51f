from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from trimtab.cli.main import cli
from trimtab.config import JournalConfig, load
from trimtab.errors import Conflict
from trimtab.record.journal import Journal
from trimtab.record.parts import part_files
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.giving_way import MOST_SECONDS, GivingWay, waited_for_core
from trimtab.wiring.upkeep import PAUSE_SECONDS, Upkeep, kept_up
from trimtab.wiring.watching import Watching

LATER = 4e9  # long after the files of the test were written


def record(number: int) -> PredictionRecord:
    return PredictionRecord(
        f"{number:032x}", None, float(number), 1.7e9 + number, "m", 1, "sha256:00", 1, None, 0, 0.0,
        "", True, (1.0,), "q", (None,), 0.5, (0.5, 0.5), True, 1.0,
    )  # fmt: skip


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=LATER)


@pytest.fixture
def deployment(tmp_path: Path, clock: FakeClock) -> Iterator[Deployment]:
    overrides = {"state.dir": str(tmp_path / "state"), "journal.retain_days": 10}
    opened = Deployment.open(load(None, environ={}, overrides=overrides), clock)
    yield opened
    opened.close()


def write(deployment: Deployment, count: int) -> list[PredictionRecord]:
    writer = Journal(
        deployment.journal_dir, JournalConfig(segment_bytes=500), Metrics(), FakeClock()
    )
    records = [record(number) for number in range(count)]
    for one in records:
        writer.append([one])
    writer.close()
    return records


def offsets(deployment: Deployment) -> dict[str, int]:
    with deployment.state.reading() as state:
        return dict(state.watch.offsets())


def kept(deployment: Deployment) -> list[PredictionRecord]:
    return list(SegmentReader(deployment.journal_dir, Metrics()).records())


def test_what_the_watcher_has_read_is_compacted_and_its_offsets_forgotten(
    deployment: Deployment,
) -> None:
    records, metrics = write(deployment, 9), Metrics()
    upkeep = Upkeep(deployment, metrics)
    assert upkeep.compact() == []  # nothing was read yet
    watching = Watching.open(deployment, Metrics())
    watching.tick()
    assert offsets(deployment) != {}
    done = upkeep.compact(limit=1)
    done = [*done, *upkeep.compact()]
    assert sum(one.records for one in done) == 9
    assert (offsets(deployment), kept(deployment)) == ({}, records)
    assert list(deployment.journal_dir.glob("*.seg")) == []
    assert watching.tick().records == 0
    sample = metrics.registry.get_sample_value
    assert sample("ml_journal_compacted_total") == 9
    assert sample("ml_journal_size_bytes", {"kind": "segments"}) == 0
    parts = sum(path.stat().st_size for path in part_files(deployment.journal_dir))
    assert sample("ml_journal_size_bytes", {"kind": "parts"}) == parts


def test_the_watcher_tells_how_much_it_left_unread(deployment: Deployment) -> None:
    write(deployment, 9)
    metrics = Metrics()
    watching = Watching.open(deployment, metrics)
    for left in (5, 1, 0):
        watching.tick(4)
        assert metrics.registry.get_sample_value("ml_watch_lag_records") == left


def test_an_offset_saved_again_behind_a_removal_is_forgotten_the_next_time(
    deployment: Deployment,
) -> None:
    write(deployment, 3)
    Watching.open(deployment, Metrics()).tick()
    read = offsets(deployment)
    Upkeep(deployment, Metrics()).compact()
    elsewhere = {"1700000000000-7-0000abcd-000000.seg": 5}  # a segment of another machine
    with deployment.state.transaction() as state:
        state.watch.save_offsets({**read, **elsewhere})
    Upkeep(deployment, Metrics()).compact()
    assert offsets(deployment) == elsewhere


def test_the_watcher_keeps_the_journal_while_it_has_nothing_to_read(
    deployment: Deployment, clock: FakeClock
) -> None:
    metrics = Metrics()
    upkeep = Upkeep(deployment, metrics)
    upkeep.step()  # there is no journal yet
    clock.advance(PAUSE_SECONDS)
    write(deployment, 9)
    Watching.open(deployment, Metrics()).tick()
    segments = len(list(deployment.journal_dir.glob("*.seg")))
    for left in reversed(range(segments)):
        upkeep.step()
        assert len(list(deployment.journal_dir.glob("*.seg"))) == left
    assert len(kept(deployment)) == 9
    upkeep.step()  # nothing is left to compact: what is past its days goes
    assert kept(deployment) == []
    write(deployment, 1)
    Watching.open(deployment, Metrics()).tick()
    upkeep.step()
    assert len(list(deployment.journal_dir.glob("*.seg"))) == 1
    clock.advance(PAUSE_SECONDS)
    upkeep.step()
    assert list(deployment.journal_dir.glob("*.seg")) == []


def test_it_rests_where_others_want_the_core_and_ends_all_the_same(
    deployment: Deployment,
) -> None:
    write(deployment, 9)
    Watching.open(deployment, Metrics()).tick()
    segments = len(list(deployment.journal_dir.glob("*.seg")))
    spent = 0.0

    class Stop(threading.Event):
        """Notes how long it is waited for, and waits for nobody; set as soon as nothing is left to do."""

        rests: list[float]

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            if timeout > MOST_SECONDS:
                self.set()
            elif timeout:
                self.rests.append(timeout)
            return self.is_set()

    def waited() -> float:
        nonlocal spent
        spent += 5.0 if stop.rests else 0.01
        return spent

    stop = Stop()
    stop.rests = []
    Upkeep(deployment, Metrics(), waited=waited).run(stop)
    assert [0.1, *[MOST_SECONDS] * (segments - 1)] == pytest.approx(stop.rests)
    assert list(deployment.journal_dir.glob("*.seg")) == []


def test_a_thread_knows_how_long_it_waited() -> None:
    before = waited_for_core()
    assert 0.0 <= before <= waited_for_core()
    calm = GivingWay(lambda: 3.0)
    assert [0.0, 0.0] == [calm.rest_seconds(), calm.rest_seconds()]


def test_a_thread_of_the_watcher_does_it_and_ends_with_it(deployment: Deployment) -> None:
    write(deployment, 9)
    Watching.open(deployment, Metrics()).tick()
    emptied, stop = threading.Event(), threading.Event()

    class Watched(Metrics):
        def gauge(self, name: str, value: float, **labels: object) -> None:
            if (name, value, labels) == ("ml_journal_size_bytes", 0, {"kind": "segments"}):
                emptied.set()

    with kept_up(deployment, Watched(), stop):
        assert emptied.wait(30)
    assert stop.is_set()
    assert [t for t in threading.enumerate() if t.name == "journal-upkeep"] == []
    assert list(deployment.journal_dir.glob("*.seg")) == []


def test_when_told_to_stop_it_leaves_the_segment_whole(deployment: Deployment) -> None:
    records = write(deployment, 9)
    Watching.open(deployment, Metrics()).tick()
    segments = sorted(deployment.journal_dir.glob("*.seg"))
    stop = threading.Event()

    class Stopping(Metrics):
        def count(self, name: str, amount: float = 1.0, **labels: object) -> None:
            super().count(name, amount, **labels)
            stop.set()

    upkeep = Upkeep(deployment, Stopping())
    upkeep.run(stop)  # told behind the first segment, it stops within the second
    assert sorted(deployment.journal_dir.glob("*.seg")) == segments[1:]
    assert len(segments) > 1
    stop.set()
    Upkeep(deployment, Metrics()).run(stop)
    Upkeep(deployment, Metrics()).compact()
    assert kept(deployment) == records


def test_one_process_at_a_time(deployment: Deployment) -> None:
    write(deployment, 1)
    Watching.open(deployment, Metrics()).tick()
    metrics = Metrics()
    upkeep = Upkeep(deployment, metrics)
    with (deployment.journal_dir / "upkeep.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Conflict) as held:
            upkeep.compact()
        assert held.value.code == "upkeep_running"
        upkeep.step()
    assert metrics.registry.get_sample_value("ml_journal_upkeep_failures_total") == 1


def test_commands_compact_and_trim(deployment: Deployment) -> None:
    write(deployment, 3)
    state = ["--state", str(deployment.dir)]
    run = CliRunner().invoke
    assert "0 segments compacted" in run(cli, ["journal", "compact", *state]).output
    kept_unread = run(cli, ["journal", "trim", "--max-bytes", "1", *state])
    assert "0 files removed" in kept_unread.output
    Watching.open(deployment, Metrics()).tick()
    young = run(cli, ["journal", "compact", *state])
    assert "0 segments compacted" in young.output  # the command's clock is the real one
    gone = run(cli, ["journal", "trim", "--max-bytes", "1", "--force", *state])
    assert "1 file removed" in gone.output
    assert (kept(deployment), offsets(deployment)) == ([], {})
