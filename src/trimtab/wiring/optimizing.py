"""A model file or version, held-out rows and a budget become a plan, and what it keeps a version."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import narwhals as nw

from trimtab.compact.artifact import Draft
from trimtab.digests import digest_of
from trimtab.errors import InvalidInput
from trimtab.models.artifact import Formats, kind_of
from trimtab.models.guard import Guarded, opened
from trimtab.models.trust import untrusted
from trimtab.optimize.artifact import draft_of
from trimtab.optimize.budget import Budget
from trimtab.optimize.catalogue import STEPS
from trimtab.optimize.course import Course
from trimtab.optimize.forms import NativeForm
from trimtab.optimize.ground import make_ground, segments_of
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.planner import Plan, Planner, Progress
from trimtab.optimize.supported import hindrance
from trimtab.optimize.trees import ENSEMBLES
from trimtab.protocols import ModelForm
from trimtab.rollout import audit
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Certificate, FeatureKind, Record, Rows, Signature, Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import outcomes_of

MOST_SEGMENTS = 12
PROBES = 48


class Held(Record, frozen=True):
    """Rows to plan on.

    ``frame`` (pandas, polars or Arrow) has rows that the model was not fitted on, ``train`` rows to
    refit on; ``target`` names their column of outcomes. ``segments`` are columns that no group of
    rows in may lose more than its own budget; with none named, categories of at most 12 values are.
    ``traffic`` are features as they were asked in service, which students learn the answers of.
    """

    frame: Any
    target: str | None = None
    train: Any = None
    segments: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    seed: int = 0
    traffic: Any = None


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be optimised: the opened model, its signature, and its artifact's digest."""

    name: str
    predictor: Guarded
    signature: Signature
    digest: str


def file_source(
    path: Path, held: Held, *, task: Task, labels: Sequence[str], threshold: float, trust: bool
) -> Source:
    """A model file; its signature is inferred from the rows.

    Raises:
        Refused: it can run code and nobody vouches for it.
        InvalidInput: no format knows it, or it does not fit the rows.
    """
    formats = Formats.installed()
    kind = formats.named(formats.sniff(path))
    if kind.runs_code and not trust:
        raise untrusted(path.name, kind.name, "Say that you trust it with --trust.")
    frame = nw.from_native(held.frame, eager_only=True)
    left_out = {held.target, *held.ignore}
    features = [name for name in frame.columns if name not in left_out]
    signature = infer_signature(
        frame.select(features).to_native(),
        task=task,
        labels=labels or (("0", "1") if task is Task.BINARY else ()),
        threshold=threshold,
    )
    predictor = opened(kind, path, signature, path.name)
    _check_numbers(predictor.original, signature)
    digest = digest_of(path, kind_of(kind.name))
    return Source(name=path.name, predictor=predictor, signature=signature, digest=digest)


def _check_numbers(model: object, signature: Signature) -> None:
    texts = [spec.name for spec in signature.features if spec.kind is FeatureKind.CATEGORICAL]
    if texts and isinstance(model, ENSEMBLES):
        raise InvalidInput(
            f"The column {texts[0]!r} holds text, but a {type(model).__name__} by itself takes numbers.",
            code="wrong_type",
            path=texts[0],
            hint="Give the columns as the model was fitted on, or leave it out with --ignore.",
        )


def version_source(deployment: Deployment, model: str, reference: str) -> Source:
    """A registered version.

    Raises:
        NotFound: no such model or version.
        Refused: it can run code and nobody vouches for it.
    """
    version = deployment.version(model, reference)
    return Source(
        name=f"{version.model} v{version.version}",
        predictor=deployment.registry.original(version),
        signature=version.signature,
        digest=version.digest,
    )


def plan_for(
    source: Source,
    held: Held,
    budget: Budget,
    *,
    now: float,
    progress: Progress = lambda _: None,
    seconds: float = math.inf,
) -> tuple[Plan, ModelForm | None]:
    """Try what can be done to a model, and certify what is kept; no further form after ``seconds``.

    Raises:
        InvalidPlan: the format's models cannot be optimised, or the rows cannot show what is asked.
        InvalidRow: a column is missing or a value of the wrong type; which, and where.
    """
    signature = source.signature
    rows = _rows(source, held, held.frame)
    train = None if held.train is None else _rows(source, held, held.train)
    ground, notes = make_ground(
        signature.task, rows, budget, train=train, threshold=signature.threshold, seed=held.seed
    )
    if held.traffic is not None:
        asked = Rows(X=source.predictor.rows(columns_from_frame(signature, held.traffic)))
        ground = msgspec.structs.replace(ground, traffic=asked)
        notes = (*notes, f"students also learned {len(asked):,} answers to recorded traffic")
    course = Course(seconds=seconds)
    planner = Planner(ground, budget, STEPS, progress=progress, course=course)
    model = source.predictor.original
    plan, form = planner.plan(NativeForm(model), digest=source.digest, now=now, notes=notes)
    if why := hindrance(model):
        plan = msgspec.structs.replace(plan, words=f"{plan.words} {why}")
    return plan, form


def artifact_of(source: Source, held: Held, form: ModelForm, folder: Path) -> Draft | Path:
    """What a form is registered as: a compact artifact that runs no code, or a file of its kind.

    Raises:
        InvalidPlan: the steps before the trees cannot be compiled; which and why.
    """
    if not isinstance(form, PackedForm):
        return Path(form.write(folder / "model").path)
    frame = nw.from_native(held.frame, eager_only=True).head(PROBES).to_native()
    columns = columns_from_frame(source.signature, frame)
    return draft_of(
        form,
        source.signature,
        source.predictor.original,
        columns,
        source.predictor.rows(columns),
        source.predictor.encoding,
    )


def write_form(
    source: Source, held: Held, form: ModelForm, out: Path, certificate: Certificate | None = None
) -> list[Path]:
    """Write a form to a file that ``trimtab register`` takes.

    Returns:
        What was written: the compact artifact carries its certificate, to the file of another
        library one is written beside it.

    Raises:
        InvalidPlan: as :func:`artifact_of`.
    """
    beside = out.with_name(f"{out.name}.certificate.json")
    with tempfile.TemporaryDirectory(prefix="trimtab-") as directory:
        artifact = artifact_of(source, held, form, Path(directory))
        if isinstance(artifact, Draft):
            path = Path(directory) / "artifact"
            Formats.installed().save(replace(artifact, certificate=certificate), path)
            shutil.move(path, out)
            return [out]
        shutil.move(artifact, out)
    if certificate is None:
        return [out]
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(certificate)))
    return [out, beside]


def register_form(
    deployment: Deployment,
    parent: Version,
    source: Source,
    held: Held,
    form: ModelForm,
    plan: Plan,
    *,
    author: str,
) -> Version:
    """Keep an optimised form as the model's next version, with its parent's profile and views.

    Raises:
        InvalidPlan: as :func:`artifact_of`.
    """
    certificate = plan.certificate
    words = "" if certificate is None else certificate.plan
    exact = certificate is not None and certificate.lossless
    with tempfile.TemporaryDirectory(prefix="trimtab-") as directory:
        version = deployment.registry.register(
            parent.model,
            artifact_of(source, held, form, Path(directory)),
            signature=parent.signature,
            profile=deployment.registry.profile(parent),
            metrics=parent.metrics if exact else None,
            lineage={
                **parent.lineage,
                "parent": f"v{parent.version}",
                "parent_digest": parent.digest,
                "optimised_by": words,
            },
            author=author,
            description=f"v{parent.version}: {words}",
            views=parent.views,
            view_versions=parent.view_versions,
            trust=parent.trusted_by,
            certificate=certificate,
        )
    with deployment.state.transaction() as state:
        audit.append(
            state.audit,
            actor=author,
            action="optimize",
            model=parent.model,
            detail={"version": version.version, "parent": parent.version, "budget": plan.budget},
            reason=version.description,
            clock=deployment.clock,
        )
    return version


def _rows(source: Source, held: Held, frame: Any) -> Rows:
    signature = source.signature
    return Rows(
        X=source.predictor.rows(columns_from_frame(signature, frame)),
        outcomes=None if held.target is None else outcomes_of(signature, frame, held.target),
        segments=segments_of(_segments(held, signature, frame)),
    )


def _segments(held: Held, signature: Signature, frame: Any) -> dict[str, Any]:
    table = nw.from_native(frame, eager_only=True)
    for name in held.segments:
        if name not in table.columns:
            raise InvalidInput(
                f"There is no column {name!r} to make segments of.",
                code="unknown_column",
                path="segment",
                hint=f"The columns are {', '.join(table.columns)}.",
            )
    names = held.segments or [
        spec.name
        for spec in signature.features
        if spec.kind in {FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}
        and table[spec.name].n_unique() <= MOST_SEGMENTS
    ]
    return {name: table[name].to_numpy() for name in names}
