"""Whether a version can take over the traffic of another."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from trimtab.types import FeatureKind, FeatureSpec, Signature


def compatible(old: Signature, new: Signature, provided: Collection[str] = ()) -> list[str]:
    """Why a version with signature ``new`` cannot take over traffic made for ``old``.

    Args:
        old: What clients send today.
        new: What the candidate takes.
        provided: Features that views fill, so that clients need not send them.

    Returns:
        One sentence a reason; empty when it can.
    """
    reasons = []
    if new.task is not old.task:
        reasons.append(f"The task changes from {old.task} to {new.task}.")
    if new.labels != old.labels:
        reasons.append(f"The labels change from {list(old.labels)} to {list(new.labels)}.")
    before = {spec.name: spec for spec in old.features}
    after = {spec.name: spec for spec in new.features}
    for name, spec in after.items():
        if name in before:
            reasons.extend(_changes(before[name], spec, provided))
        elif not spec.nullable and name not in provided:
            reasons.append(f"The feature {name!r} is new and required.")
    reasons.extend(f"The feature {name!r} is no longer taken." for name in before.keys() - after)
    return sorted(reasons)


def _changes(old: FeatureSpec, new: FeatureSpec, provided: Collection[str]) -> Iterable[str]:
    widened = (old.kind, new.kind) == (FeatureKind.INTEGER, FeatureKind.NUMERIC)
    if new.kind is not old.kind and not widened:
        yield f"The feature {new.name!r} changes from {old.kind} to {new.kind}."
    if old.nullable and not new.nullable and new.name not in provided:
        yield f"The feature {new.name!r} may no longer be missing."
    if old.unit and new.unit and old.unit != new.unit:
        yield f"The unit of {new.name!r} changes from {old.unit!r} to {new.unit!r}."
