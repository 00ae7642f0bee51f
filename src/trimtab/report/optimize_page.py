"""The page of `trimtab optimize --html`: what was tried, what was kept, and its certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.optimize.planner import Plan, Trial
from trimtab.report import words
from trimtab.report.rendering import STYLE, environment
from trimtab.report.scatter import Axis, Dot, scatter
from trimtab.types import Certificate, Footprint, MetricChange, Record

_TEMPLATES = environment()


class Row(Record, frozen=True):
    """One line of the certificate's table of costs: before, after, and their ratio in words."""

    name: str
    before: str
    after: str
    ratio: str
    better: bool


def render_optimize(plan: Plan, model: str, data: str) -> str:
    """Write a plan as one self-contained HTML document.

    Args:
        plan: What was tried and kept.
        model: What the model is called, for example a file's name.
        data: What the held-out rows are called.
    """
    certificate = plan.certificate
    ranked = sorted(
        plan.trials,
        key=lambda t: (not t.chosen, t.name != "original", bool(t.unmet), weight(t.costs)),
    )
    return _TEMPLATES.get_template("optimize.html").render(
        plan=plan,
        certificate=certificate,
        costs=cost_rows(certificate) if certificate else (),
        ranked=ranked,
        tones={trial.name: tone(trial) for trial in plan.trials},
        metric=metric_of(plan),
        speed=speed_chart(plan.trials),
        quality=quality_chart(plan.trials),
        besides=plan.words.partition(" is kept. ")[2],
        model=model,
        data=data,
        style=STYLE,
    )


def metric_of(plan: Plan) -> str:
    """The metric that the trials are compared by; empty without outcomes."""
    changes = plan.trials[0].agreed.metrics
    return changes[0].metric if changes else ""


def main_change(trial: Trial) -> MetricChange | None:
    """The first metric's change."""
    return trial.agreed.metrics[0] if trial.agreed.metrics else None


def weight(costs: Footprint) -> int:
    """What a form takes in memory, or on disk where memory is not known."""
    return max(costs.rss_bytes or costs.disk_bytes, 1)


def tone(trial: Trial) -> str:
    """The class of a trial's colour."""
    if trial.chosen:
        return "chosen"
    if not trial.steps:
        return "first"
    if trial.unmet:
        return "out"
    return "safe" if trial.lossless else "inside"


def speed_chart(trials: Sequence[Trial]) -> str:
    """Size against the time of a row."""
    return scatter(
        [_dot(trial, trial.costs.p50_us) for trial in _stacked(trials)],
        Axis("resident memory", size),
        Axis("single row", micros),
        title="Size and time of a row of every form that was tried",
        description=_said(trials),
    )


def quality_chart(trials: Sequence[Trial]) -> str:
    """Size against what the first metric loses, or without one how far outputs are apart."""
    change = main_change(trials[0])
    if change is None:
        values = {trial.name: trial.agreed.max_abs for trial in trials}
        axis = Axis("largest difference of outputs", lambda value: f"{value:.3g}", log=False)
    else:
        values = {t.name: (found.loss if (found := main_change(t)) else 0.0) for t in trials}
        axis = Axis(
            f"loss of {words.plain(change.metric)}", lambda value: f"{value:.3g}", log=False
        )
    return scatter(
        [_dot(trial, values[trial.name]) for trial in _stacked(trials)],
        Axis("resident memory", size),
        axis,
        title=f"Size and {axis.title} of every form that was tried",
        description=_said(trials),
    )


def _stacked(trials: Sequence[Trial]) -> list[Trial]:
    """What matters most is drawn last."""
    order = ("out", "inside", "safe", "first", "chosen")
    return sorted(trials, key=lambda trial: order.index(tone(trial)))


def _dot(trial: Trial, y: float) -> Dot:
    named = trial.chosen or not trial.steps or trial.steps == ("compact",)
    change = main_change(trial)
    lost = f", loses {change.loss:.2g} of {change.metric}" if change else ""
    costs = trial.costs
    return Dot(
        x=weight(costs),
        y=y,
        tone=tone(trial),
        words=f"{trial.name}: {size(weight(costs))}, {micros(costs.p50_us)}{lost}",
        name=trial.name if named else "",
        large=trial.chosen or not trial.steps,
    )


def _said(trials: Sequence[Trial]) -> str:
    kept = next((trial.name for trial in trials if trial.chosen), "none")
    return f"{len(trials)} forms; {kept} was kept"


def cost_rows(certificate: Certificate) -> list[Row]:
    """The certificate's costs, before and after."""
    before, after = certificate.before, certificate.after
    rows = [
        _row("On disk", before.disk_bytes, after.disk_bytes, size),
        _row("Resident", before.rss_bytes, after.rss_bytes, size),
        _row(f"A worker's part, {after.workers} workers", before.pss_bytes, after.pss_bytes, size),
        _row("Loading", before.load_ms * 1e3, after.load_ms * 1e3, micros),
        _row("Single row, median", before.p50_us, after.p50_us, micros),
        _row("Single row, 99 of 100 within", before.p99_us, after.p99_us, micros),
    ]
    rate = _row("Rows per second, one thread", 1 / before.rows_per_s, 1 / after.rows_per_s, micros)
    shown = (f"{before.rows_per_s:,.0f}", f"{after.rows_per_s:,.0f}")
    rows.append(
        Row(name=rate.name, before=shown[0], after=shown[1], ratio=rate.ratio, better=rate.better)
    )
    return rows


def _row(name: str, before: float | None, after: float | None, say: Callable[[float], str]) -> Row:
    if before is None or after is None:
        return Row(name=name, before="–", after="–", ratio="not measured here", better=False)
    ratio = max(before, 1e-9) / max(after, 1e-9)
    said = f"{_times(ratio)} × better" if ratio >= 1.05 else f"{_times(1 / ratio)} × worse"
    if 0.95 < ratio < 1.05:
        said = "the same"
    return Row(name=name, before=say(before), after=say(after), ratio=said, better=ratio >= 1.05)


def _times(ratio: float) -> str:
    """Three digits, and no exponent.

    >>> _times(1234.5), _times(20.04)
    ('1,234', '20')
    """
    return f"{ratio:,.0f}" if ratio >= 1_000 else f"{ratio:.3g}"


def size(value: float | None) -> str:
    """Bytes in decimal units, as budgets have them.

    >>> size(1536.0), size(2.5e9), size(None)
    ('1.54 kB', '2.5 GB', '–')
    """
    if value is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def micros(value: float) -> str:
    """Microseconds in the unit that fits.

    >>> micros(12.34), micros(5600.0)
    ('12.3 µs', '5.6 ms')
    """
    if value < 1e3:
        return f"{value:.3g} µs"
    return f"{value / 1e3:.3g} ms" if value < 1e6 else f"{value / 1e6:.3g} s"


_TEMPLATES.filters |= {"bytes": size, "micros": micros}
