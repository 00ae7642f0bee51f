"""What an optimised model promises: its certificate, and what that was measured from."""

from __future__ import annotations

from trimtab.types.record import Record


class MetricChange(Record, frozen=True):
    """One metric before and after, on the same rows.

    ``loss`` grows with harm: ``before - after`` where more is better, else ``after - before``.
    ``low`` and ``high`` are its 95 % interval, ``method`` how that was found.
    """

    metric: str
    before: float
    after: float
    loss: float
    low: float
    high: float
    method: str


class SegmentChange(Record, frozen=True):
    """A metric's change on the rows whose ``column`` has ``value``.

    ``change`` is None where the segment has too few rows to be judged; ``budget`` is the most that
    it may lose, None where no metric has a budget.
    """

    column: str
    value: str
    rows: int
    change: MetricChange | None
    budget: float | None
    within: bool


class Footprint(Record, frozen=True):
    """What one form of a model costs, measured in processes of its own.

    ``rss_bytes`` is what loading it and answering adds to a process, ``pss_bytes`` the same for each
    of ``workers`` processes that have it open at once, shared pages divided among them; both are None
    where the system does not tell. Latencies are of single rows, throughput is of one thread.
    """

    disk_bytes: int
    rss_bytes: int | None
    pss_bytes: int | None
    workers: int
    load_ms: float
    p50_us: float
    p99_us: float
    rows_per_s: float


class Certificate(Record, frozen=True):
    """How an optimised model differs from the one it was made of, on the same rows.

    ``held_out`` says that neither was fitted on them.
    ``max_abs`` and ``mean_abs`` are differences of outputs: probabilities, or values of a regression.
    ``flips`` counts rows whose decision changed: at ``threshold`` for a binary classifier, of the
    most probable class for several, none for a regression. ``path_differences`` counts rows that
    took another way through any tree; None where trees were changed on purpose. ``budget`` is as it
    was stated, empty for lossless steps. ``original`` is the digest of what was optimised.
    """

    plan: str
    steps: tuple[str, ...]
    lossless: bool
    budget: str
    original: str
    rows: int
    max_abs: float
    mean_abs: float
    threshold: float | None
    flips: int
    path_differences: int | None
    metrics: tuple[MetricChange, ...]
    segments: tuple[SegmentChange, ...]
    before: Footprint
    after: Footprint
    machine: str
    made_at: float
    notes: tuple[str, ...] = ()
    held_out: bool = True
