"""Rows that come in pieces, summarised for every comparison that is made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from msgspec.structs import replace

from trimtab import plugins
from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer, ReferenceProfile
from trimtab.drift.multivariate import METHODS, SAMPLE_ROWS, Encoder, evenly
from trimtab.drift.segments import build_segments, texts_of
from trimtab.errors import InvalidInput
from trimtab.judge import DriftJudge
from trimtab.library.columns import Read, vectors_of
from trimtab.report.distributions import Picture
from trimtab.sketch import TableSketch
from trimtab.types import Columns, Comparison, FloatArray, Verdict, Window
from trimtab.windows import WindowSketch, merge_windows, told_of

_LEAST_SAMPLE = 50
_MOST_SEGMENTS = 10
_MOST_PICTURES = 24


@dataclass(frozen=True, slots=True)
class SegmentComparers:
    """The reference by the values of one feature; nothing if ``profiles`` is empty."""

    feature: str = ""
    position: int = 0
    profiles: Mapping[str, ReferenceProfile] = field(default_factory=dict)

    @classmethod
    def of(
        cls, rows: Read, by: str | None, times: FloatArray | None, block_seconds: float
    ) -> SegmentComparers:
        """The segments of a reference."""
        if by is None:
            return cls()
        found = build_segments(
            rows.columns(), by, _MOST_SEGMENTS, times=times, block_seconds=block_seconds
        )
        at = [spec.name for spec in rows.features].index(by)
        return cls(by, at, {one.value: one.load() for one in found})

    def judge(self, rows: WindowRows, watch: WatchConfig) -> dict[str, Verdict]:
        """A verdict for each segment; p-values are corrected for their number (Bonferroni)."""
        verdicts = {}
        for value, profile in self.profiles.items():
            window = rows.window(value)
            compared = [
                replace(c, p_value=min(1.0, c.p_value * len(self.profiles)))
                if c.p_value is not None
                else c
                for c in FeatureComparer(profile).compare(window)
            ]
            name = f"{self.feature} = {value}"
            verdict = DriftJudge(DATA_DRIFT, watch).judge(window, compared)
            verdicts[name] = replace(verdict, segment=name)
        return verdicts


@dataclass(frozen=True, slots=True)
class TogetherTests:
    """Multivariate tests, with their sample of the reference."""

    encoder: Encoder
    sample: FloatArray
    methods: tuple[Any, ...]
    embeddings: Mapping[str, FloatArray]
    embedding_method: Any

    @classmethod
    def of(
        cls,
        rows: Read,
        table: nw.DataFrame[Any],
        embedded: Sequence[str],
        names: Sequence[str],
    ) -> TogetherTests:
        """The tests by name, and one for each column of vectors.

        Raises:
            InvalidInput: there is no such test.
        """
        for name in names:
            if name not in METHODS:
                raise InvalidInput(
                    f"There is no multivariate test {name!r}.",
                    hint=f"There are: {', '.join(METHODS)}.",
                    code="unknown_method",
                    path="multivariate",
                )
        some = rows.columns(evenly(rows.rows))
        encoder = Encoder(some)
        return cls(
            encoder=encoder,
            sample=encoder.encode(some) if names else np.empty((0, 0)),
            methods=tuple(plugins.by_path(METHODS[name])() for name in names),
            embeddings={name: _some(vectors_of(table[name])) for name in embedded},
            embedding_method=plugins.by_path(METHODS["mmd"])() if embedded else None,
        )

    @property
    def wanted(self) -> bool:
        """Whether there are any tests."""
        return bool(self.methods or self.embeddings)

    def compare(self, rows: WindowRows) -> list[Comparison]:
        """One comparison a test, and one for each column of vectors."""
        found: list[Comparison] = []
        if rows.sample is not None and len(rows.sample) >= _LEAST_SAMPLE:
            found += [method.score(self.sample, rows.sample) for method in self.methods]
        for name, reference in self.embeddings.items():
            current = rows.vectors[name]
            if min(len(reference), len(current)) < _LEAST_SAMPLE:
                continue
            if reference.shape[1] != current.shape[1]:
                raise InvalidInput(
                    f"The vectors of {name!r} have {current.shape[1]} dimensions, the reference's "
                    f"have {reference.shape[1]}.",
                    hint="Compare embeddings of one model.",
                    code="ragged_vectors",
                    path=name,
                )
            words = "the vectors lie elsewhere than in the reference"
            compared = self.embedding_method.score(reference, current)
            found.append(replace(compared, name=name, words=words))
        return found


class WindowRows:
    """The summaries of one window's rows.

    Args:
        profile: The reference.
        segments: What is summarised apart.
        together: What the samples are for.
        pair_step: Correlations are taken from every n-th row.
    """

    def __init__(
        self,
        profile: ReferenceProfile,
        segments: SegmentComparers,
        together: TogetherTests,
        pair_step: int,
    ) -> None:
        self._whole = profile.feature_sketcher(whole_rows=True)
        self._step = pair_step
        self._segments = segments
        self._parts = {v: p.feature_sketcher() for v, p in segments.profiles.items()}
        self._together = together
        self._sketches: dict[str | None, WindowSketch] = {}
        self.sample: FloatArray | None = None
        self.vectors: dict[str, FloatArray] = {}

    def add(self, read: Read, table: nw.DataFrame[Any]) -> None:
        """Add some rows; nothing of them is kept but summaries and a sample."""
        odd = np.array(read.odd, dtype=np.int64)
        self._merge(None, self._whole.sketch(read.arrays, pair_step=self._step), odd)
        if self._segments.profiles:
            at, columns = self._segments.position, read.columns()
            texts = texts_of(columns.features[at].kind, columns.arrays[at])
            for value, sketcher in self._parts.items():
                inside = _rows(columns, np.flatnonzero(texts == value))
                self._merge(
                    value, sketcher.sketch(inside.arrays, pair_step=self._step), np.zeros_like(odd)
                )
        self._sample(read, table)

    def window(self, segment: str | None = None) -> Window:
        """All rows so far as a window; None takes the whole traffic."""
        content = self._sketches.get(segment)
        if content is None:
            sketcher = self._whole if segment is None else self._parts[segment]
            empty = [
                np.empty(0, dtype=np.float64 if binning.bits else object)
                for binning in sketcher.features
            ]
            table = sketcher.sketch(empty)
            content = told_of(table, np.zeros(len(empty), dtype=np.int64))
        return window_with(content)

    def _merge(self, key: str | None, table: Any, odd: Any) -> None:
        new, known = told_of(table, odd), self._sketches.get(key)
        self._sketches[key] = new if known is None else merge_windows((known, new))

    def _sample(self, read: Read, table: nw.DataFrame[Any]) -> None:
        if self._together.methods and read.rows:
            new = self._together.encoder.encode(read.columns(evenly(read.rows)))
            self.sample = _joined(self.sample, new)
        for name in self._together.embeddings:
            if name not in table.columns:
                raise InvalidInput(
                    f"The table has no column {name!r}.", code="missing_feature", path=name
                )
            self.vectors[name] = _joined(self.vectors.get(name), _some(vectors_of(table[name])))


def window_with(content: TableSketch) -> Window:
    """Rows at hand as a window."""
    return Window(
        subject=DATA_DRIFT, model="", version=0, start=0.0, end=0.0, rows=content.rows,
        content=content,
    )  # fmt: skip


def pictures_of(
    profile: ReferenceProfile, window: Window, flagged: Collection[str]
) -> tuple[Picture, ...]:
    """The distributions of the features that are flagged, at most 24."""
    return tuple(
        Picture(
            name=one.feature.name,
            binning=one.binning,
            reference=one.sketch,
            current=current,
            unit=one.feature.unit or "",
        )
        for one, current in zip(profile.features, window.content.features, strict=True)
        if one.feature.name in flagged
    )[:_MOST_PICTURES]


def _rows(columns: Columns, rows: Any) -> Columns:
    return Columns(features=columns.features, arrays=tuple(a[rows] for a in columns.arrays))


def _some(points: FloatArray) -> FloatArray:
    return points[evenly(len(points))] if len(points) else points


def _joined(before: FloatArray | None, new: FloatArray) -> FloatArray:
    return (new if before is None else np.concatenate((before, new)))[:SAMPLE_ROWS]
