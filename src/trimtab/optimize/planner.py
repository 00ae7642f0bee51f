"""Tries steps, measures each on held-out rows, and keeps the cheapest plan inside the budget."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from trimtab.optimize.agreement import Agreement, agreement
from trimtab.optimize.budget import LOSSES, Budget
from trimtab.optimize.course import Course, Standing
from trimtab.optimize.limits import unmet
from trimtab.optimize.measure import WORKERS, Warm, footprints, machine
from trimtab.protocols import ModelForm, OptimisationStep
from trimtab.types import Certificate, FloatArray, Footprint, Ground, ModelFile, Record

BEAM = 1
DEPTH = 3
TRIES = 5
WORTH = 0.95
"""A lossy form must cost less than this part of a lossless one to be preferred."""

CERTIFYING = 5.0
"""About how long a certificate takes, in times of what the original's first measurement took."""

Progress = Callable[[Standing], None]


@runtime_checkable
class KeepsPaths(Protocol):
    """A form that can be compared with its original path by path."""

    def paths_differ(self, original: object, rows: Any) -> int | None:
        """How many rows take another way through any tree; None if it cannot be told."""
        ...


class Trial(Record, frozen=True):
    """One form that was tried, measured on the rows for choosing.

    ``unmet`` says what it exceeds, ``front`` that no other is smaller, faster and closer at once.
    """

    name: str
    steps: tuple[str, ...]
    lossless: bool
    costs: Footprint
    agreed: Agreement
    unmet: tuple[str, ...]
    front: bool = False
    chosen: bool = False


class Plan(Record, frozen=True):
    """All that was tried, the original first, and the certificate of what was kept.

    Without a certificate nothing is changed: then ``reached`` says whether the original itself keeps
    to the budget, and ``words`` what stood in the way or what was best.
    """

    budget: str
    trials: tuple[Trial, ...]
    reached: bool
    words: str
    certificate: Certificate | None = None


@dataclass(slots=True)
class _Tried:
    """A trial with its form and file, while the plan is made; of what lost too much neither is kept."""

    trial: Trial
    _form: ModelForm | None
    file: ModelFile

    @property
    def form(self) -> ModelForm:
        """The form itself."""
        if self._form is None:
            raise LookupError(self.trial.name)
        return self._form

    @property
    def cost(self) -> float:
        """Resident bytes times the time of a row."""
        costs = self.trial.costs
        return math.log(max(costs.rss_bytes or 0, costs.disk_bytes, 4096) * max(costs.p50_us, 0.1))

    def forget(self) -> None:
        """Drop the form and its file: both may be large, and there may be dozens."""
        self._form = None
        _remove(Path(self.file.path))


@dataclass(slots=True)
class Planner:
    """One search for the cheapest form of one model.

    Args:
        ground: The rows that it is made and measured on.
        budget: What may be lost and what it may cost; an empty one allows lossless steps only.
        steps: What can be done, in the order in which it is tried.
        progress: Called with where the search stands, before each form.
        seconds: The most that one kind of timing takes for one form.
        measure: What sizes and times forms side by side.
        course: When the search must end.
    """

    ground: Ground
    budget: Budget
    steps: Sequence[OptimisationStep]
    progress: Progress = lambda _: None
    seconds: float = 0.3
    measure: Callable[..., list[Footprint]] = footprints
    course: Course = field(default_factory=Course)
    _tried: list[_Tried] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set)
    _hopeless: set[str] = field(default_factory=set)
    _left_out: list[str] = field(default_factory=list)
    _offering: dict[str, bool] = field(default_factory=dict)
    _before: FloatArray | None = None
    _warm: Warm = field(default_factory=Warm)

    def plan(
        self, original: ModelForm, *, digest: str, now: float, notes: Sequence[str] = ()
    ) -> tuple[Plan, ModelForm | None]:
        """Try, choose and certify.

        Args:
            original: What is to be made smaller; it is not changed.
            digest: Of its artifact, for the certificate.
            now: Unix seconds, for the certificate.
            notes: What else the certificate is to say.

        Returns:
            The plan, and the form to use; None where nothing is to be changed.
        """
        with tempfile.TemporaryDirectory(prefix="trimtab-plan-") as directory, self._warm:
            for kept in (self._tried, self._known, self._hopeless, self._left_out, self._offering):
                kept.clear()
            began = self.course.timer()
            (first,) = self._try("original", (), True, original, Path(directory))
            after = CERTIFYING * (self.course.timer() - began)
            self.course.begin(len(self.steps) * (DEPTH + 1), after=after)
            self._explore(first, Path(directory))
            for tried in self._inside(first):
                certificate, wrong = self._certify(first, tried, digest, now, notes)
                if not wrong:
                    tried.trial = _with(tried.trial, chosen=True)
                    return self._result(
                        True, f"{tried.trial.name} is kept.", certificate
                    ), tried.form
                tried.trial = _with(tried.trial, unmet=wrong)
            if not first.trial.unmet:
                return self._result(
                    True, "Nothing that was tried costs less: it stays as it is."
                ), None
            return self._result(False, self._closest()), None

    def _explore(self, first: _Tried, directory: Path) -> None:
        """Lossless steps; lossy ones on all that these made; then combinations of the best."""
        safe = [step for step in self.steps if step.lossless]
        lossy = [step for step in self.steps if not step.lossless] if self.budget.lossy else []
        roots = [first, *self._apply(safe, [first], directory)]
        layer = self._apply(lossy, roots, directory, then=safe)
        for _ in range(DEPTH - 1):
            best = sorted((t for t in layer if not self._lost(t)), key=lambda t: t.cost)[:BEAM]
            layer = self._apply(lossy, best, directory, then=safe)

    def _apply(
        self,
        steps: Sequence[OptimisationStep],
        roots: Sequence[_Tried],
        directory: Path,
        then: Sequence[OptimisationStep] = (),
    ) -> list[_Tried]:
        made: list[_Tried] = []
        for step in steps:
            for root in roots:
                if step.name not in root.trial.steps:
                    made += self._applied(step, root, directory, then)
                self.course.applied()
        return made

    def _applied(
        self,
        step: OptimisationStep,
        root: _Tried,
        directory: Path,
        then: Sequence[OptimisationStep],
    ) -> Iterator[_Tried]:
        """What a step makes of a form, until the time is up; what alone lost too much is left out."""
        offers = _packed(step, root.form, self.ground, then)
        while not self.course.over:
            words, form = next(offers, ("", None))
            if form is None:
                self._offering.setdefault(step.name, False)
                return
            self._offering[step.name] = True
            before = "" if root.trial.lossless else f"{root.trial.name}, "
            if before and words in self._hopeless:
                continue
            name = f"{before}{words}"
            done = (*root.trial.steps, step.name)
            safe = root.trial.lossless and step.lossless
            yield from self._try(name, done, safe, form, directory)
        if self._offering.get(step.name, True):
            self._left_out.append(step.name)

    def _try(
        self, name: str, steps: tuple[str, ...], lossless: bool, form: ModelForm, directory: Path
    ) -> list[_Tried]:
        """Measure a form; nothing where it is the same file with the same answers as one before."""
        self.progress(self.course.standing(len(self._tried), name))
        rows = self.ground.choose
        file = form.write(directory / f"form-{len(self._tried)}")
        after = form.outputs(rows.X)
        same = _fingerprint(Path(file.path), after)
        if same in self._known:
            _remove(Path(file.path))
            return []
        self._known.add(same)
        measure = self._warm.footprints if self.measure is footprints else self.measure
        (costs,) = measure([file], rows.X, rounds=1, workers=1, seconds=self.seconds)
        if self._before is None:
            self._before = after
        agreed = self._agreed(self._before, after, certify=False)
        now_measurable = Budget(limits=tuple(x for x in self.budget.limits if x.name != "pss"))
        trial = Trial(
            name=name, steps=steps, lossless=lossless, costs=costs, agreed=agreed,
            unmet=unmet(now_measurable, agreed, costs),
        )  # fmt: skip
        tried = _Tried(trial, form, file)
        self._tried.append(tried)
        if self._lost(tried):
            self._hopeless.add(name)
            tried.forget()
        return [tried]

    def _agreed(self, before: FloatArray, after: FloatArray, *, certify: bool) -> Agreement:
        ground = self.ground
        return agreement(
            ground.task, before, after, ground.certify if certify else ground.choose,
            threshold=ground.threshold, budget=self.budget,
        )  # fmt: skip

    def _lost(self, tried: _Tried) -> bool:
        """Whether a form loses too much, whatever it costs."""
        losses = Budget(limits=tuple(
            each for each in self.budget.limits
            if each.measure in LOSSES
        ))  # fmt: skip
        return bool(unmet(losses, tried.trial.agreed, tried.trial.costs))

    def _inside(self, first: _Tried) -> list[_Tried]:
        """What keeps to the budget and costs less than the original, the cheapest first."""

        def rank(tried: _Tried) -> float:
            return tried.cost - (0.0 if not tried.trial.lossless else math.log(1 / WORTH))

        kept = [t for t in self._tried[1:] if not t.trial.unmet]
        if not first.trial.unmet:
            kept = [t for t in kept if t.cost < first.cost]
        return sorted(kept, key=rank)[:TRIES]

    def _certify(
        self, first: _Tried, tried: _Tried, digest: str, now: float, notes: Sequence[str]
    ) -> tuple[Certificate, tuple[str, ...]]:
        """Measure both again, turn by turn, on rows that had no part in the choice."""
        self.progress(self.course.standing(len(self._tried), f"certificate of {tried.trial.name}"))
        rows = self.ground.certify
        agreed = self._agreed(first.form.outputs(rows.X), tried.form.outputs(rows.X), certify=True)
        before, after = self.measure(
            [first.file, tried.file], rows.X, workers=WORKERS, seconds=2 * self.seconds
        )
        ground, trial = self.ground, tried.trial
        paths = None
        if trial.lossless and isinstance(tried.form, KeepsPaths):
            paths = tried.form.paths_differ(first.form, rows.X)
        certificate = Certificate(
            plan=trial.name,
            steps=trial.steps,
            lossless=trial.lossless,
            budget=str(self.budget),
            original=digest,
            rows=agreed.rows,
            max_abs=agreed.max_abs,
            mean_abs=agreed.mean_abs,
            threshold=ground.threshold,
            flips=agreed.flips,
            path_differences=paths,
            metrics=agreed.metrics,
            segments=agreed.segments,
            before=before,
            after=after,
            machine=machine(),
            made_at=now,
            notes=tuple(notes),
        )
        wrong = unmet(self.budget, agreed, after)
        if paths:
            wrong = (*wrong, f"{paths:,} rows took another path, in a step that must keep them")
        return certificate, wrong

    def _closest(self) -> str:
        """What came nearest, for people."""
        nearest = min(self._tried, key=lambda t: (len(t.trial.unmet), t.cost))
        hint = "" if self.budget.lossy else " Nothing may be lost: allow it, such as auc<=0.002."
        return f"Nearest: {nearest.trial.name}; {'; '.join(nearest.trial.unmet)}.{hint}"

    def _result(self, reached: bool, words: str, certificate: Certificate | None = None) -> Plan:
        trials = [tried.trial for tried in self._tried]
        fronts = front([_point(trial) for trial in trials])
        if self._left_out:
            left = ", ".join(dict.fromkeys(self._left_out))
            words += f" After {self.course.seconds:.0f} s no more was tried; unfinished: {left}."
        return Plan(
            budget=str(self.budget),
            trials=tuple(_with(t, front=f) for t, f in zip(trials, fronts, strict=True)),
            reached=reached,
            words=words,
            certificate=certificate,
        )


def _packed(
    step: OptimisationStep, form: ModelForm, ground: Ground, then: Sequence[OptimisationStep]
) -> Iterator[tuple[str, ModelForm]]:
    """A step's offers, each put through the lossless steps that apply to it."""
    for words, offered in step.offers(form, ground):
        packed = [made for safe in then for _, made in safe.offers(offered, ground)]
        yield from ((words, made) for made in (packed or [offered]))


def _fingerprint(path: Path, answers: FloatArray) -> bytes:
    """Of a form's file or folder, and of what it answers."""
    found = hashlib.sha256(answers.tobytes())
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.digest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _point(trial: Trial) -> tuple[float, float, float]:
    """Size, time of a row, and what is lost, each better when less."""
    size = trial.costs.rss_bytes or trial.costs.disk_bytes
    metrics = trial.agreed.metrics
    return float(size), trial.costs.p50_us, metrics[0].loss if metrics else trial.agreed.max_abs


def front(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other beats in every coordinate.

    >>> front([(1.0, 3.0), (2.0, 2.0), (3.0, 3.0)])
    [True, True, False]
    """
    return [
        not any(
            all(b <= a for a, b in zip(point, other, strict=True)) and other != point
            for other in points
        )
        for point in points
    ]


def _with(trial: Trial, **changes: object) -> Trial:
    return msgspec.structs.replace(trial, **changes)
