"""Law 9: torn tails and damage are found by checksum and cost only the record they touch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.record.frames import HEADER_BYTES, MAGIC, frame, scan
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord

PAYLOADS = st.lists(st.binary(max_size=40) | st.just(MAGIC * 4), min_size=1, max_size=6)


def whole(payloads: list[bytes]) -> bytes:
    return b"".join(map(frame, payloads))


def scanned(data: bytes, *, final: bool, offset: int = 0) -> tuple[list[bytes], int, int]:
    """Payloads, where the scan ended, and how many bytes it passed over."""
    payloads, end, skipped = [], offset, 0
    for step in scan(io.BytesIO(data), offset, final=final):
        end, skipped = step.end, skipped + step.skipped
        if step.payload is not None:
            payloads.append(step.payload)
    return payloads, end, skipped


@settings(deadline=None)
@given(PAYLOADS, st.booleans())
def test_what_was_framed_is_scanned(payloads: list[bytes], final: bool) -> None:
    data = whole(payloads)
    assert scanned(data, final=final) == (payloads, len(data), 0)


@settings(deadline=None)
@given(PAYLOADS)
def test_a_scan_may_begin_behind_any_frame(payloads: list[bytes]) -> None:
    data = whole(payloads)
    ends = [step.end for step in scan(io.BytesIO(data), 0, final=False)]
    for count, end in enumerate(ends, start=1):
        assert scanned(data, final=False, offset=end)[0] == payloads[count:]


@settings(max_examples=30, deadline=None)
@given(PAYLOADS)
def test_a_file_cut_at_any_byte_loses_only_the_torn_record(payloads: list[bytes]) -> None:
    data = whole(payloads)
    for cut in range(len(data)):
        kept, end = [], 0
        for payload in payloads:
            if end + HEADER_BYTES + len(payload) > cut:
                break
            kept.append(payload)
            end += HEADER_BYTES + len(payload)
        assert scanned(data[:cut], final=False) == (kept, end, 0)
        assert scanned(data[:cut], final=True) == (kept, cut, cut - end)


@settings(max_examples=30, deadline=None)
@given(PAYLOADS, st.integers(0, 7))
def test_any_flipped_bit_loses_at_most_its_record_and_is_counted(
    payloads: list[bytes], bit: int
) -> None:
    data = whole(payloads)
    start = 0
    for hit, payload in enumerate(payloads):
        size = HEADER_BYTES + len(payload)
        for position in range(start, start + size):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            rest = payloads[:hit] + payloads[hit + 1 :]
            assert scanned(bytes(damaged), final=True) == (rest, len(data), size)
            if hit == len(payloads) - 1:
                assert scanned(bytes(damaged), final=False) == (rest, start, 0)
            else:
                assert scanned(bytes(damaged), final=False) == (rest, len(data), size)
        start += size


@settings(deadline=None)
@given(PAYLOADS, st.binary(min_size=1, max_size=60), PAYLOADS)
def test_noise_between_frames_is_passed_over_once_a_frame_stands_behind_it(
    before: list[bytes], noise: bytes, behind: list[bytes]
) -> None:
    torn = whole(before) + noise
    payloads, end, skipped = scanned(torn, final=False)
    assert (payloads, skipped) == (before, 0)
    mended = torn + whole(behind)
    assert scanned(mended, final=False, offset=end) == (behind, len(mended), len(noise))


@settings(max_examples=10, deadline=None)
@given(st.integers(200_000, 300_000), st.integers(0, 100))
def test_a_record_longer_than_a_read_is_whole(size: int, small: int) -> None:
    payloads = [b"a" * small, b"b" * size, b"c" * 3 * size, b"d"]
    data = whole(payloads)
    assert scanned(data, final=False) == (payloads, len(data), 0)
    damaged = data.replace(b"b" * size, b"b" * (size - 1) + b"x")
    assert scanned(damaged, final=False) == (
        [payloads[0], *payloads[2:]],
        len(data),
        HEADER_BYTES + size,
    )


def stored(number: int, wall_time: float) -> bytes:
    return frame(msgspec.msgpack.encode(record(f"{number:06d}", wall_time)))


def record(name: str, wall_time: float) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=name, request_id=None, event_time=0.0, wall_time=wall_time, model="m",
        version=1, digest="sha256:0", epoch=1, rollout=None, arm=0, share=0.0, unit="u",
        sticky=True, values=(0.5,), sources="q", ages_seconds=(None,), score=0.5, outputs=(),
        positive=None, latency_ms=1.0,
    )  # fmt: skip


STEPS = st.sampled_from([0.0, 0.0, 0.0, 1.0, -2.0])
NOTES = st.sampled_from(["", "", "", "noise", "no record", "next"])
WRITERS = st.lists(
    st.lists(st.tuples(STEPS, NOTES), min_size=2, max_size=40), min_size=1, max_size=4
)


@settings(max_examples=100, deadline=None)
@given(WRITERS, st.sampled_from([1, 2, 3, 5, 40, 1_000]))
@example([[(0.0, ""), (0.0, "")], [(-2.0, "no record"), (0.0, "")]], 1)  # damage before the first
def test_writers_are_merged_the_same_however_much_is_read_at_once(
    writers: list[list[tuple[float, str]]], limit: int
) -> None:
    with TemporaryDirectory() as name:
        directory, noise, number = Path(name), 0, 0
        for at, steps in enumerate(writers):
            segment, wall_time = 0, 0.0
            for step, what in steps:
                wall_time, number = wall_time + step, number + 1
                segment += what == "next"
                data = {"noise": b"noise", "no record": frame(b"no record")}.get(what, b"")
                noise += len({"noise": b"noise", "no record": b"no record"}.get(what, b""))
                path = directory / f"{1_700_000_000_000 + segment}-{at}-0-{segment:06d}.seg"
                with path.open("ab") as file:
                    file.write(data + stored(number, wall_time))
        metrics = Metrics()
        reader = SegmentReader(directory, metrics)
        expected = [one.prediction_id for one in reader.records()]
        offsets: Mapping[str, int] = {}
        actual: list[str] = []
        while True:
            found, offsets = reader.read(offsets, limit)
            assert len(found) <= limit
            if not len(found):
                break
            actual += [one.prediction_id for one in found]
        assert expected == actual
        assert {path.name: path.stat().st_size for path in directory.iterdir()} == offsets
        assert noise == metrics.registry.get_sample_value("ml_journal_damaged_bytes_total")
