"""What a change of views means for a model that answers with them."""

from __future__ import annotations

from collections.abc import Collection

from trimtab.config import FeaturesConfig, ViewFeature
from trimtab.features.views import FeaturePlan
from trimtab.types import Signature


def breaks(
    before: FeaturePlan,
    after: FeaturePlan,
    signature: Signature,
    old: FeaturesConfig,
    new: FeaturesConfig,
    recoded: Collection[str] = (),
) -> str | None:
    """Why a model cannot go on with changed views, in a sentence; None if it can.

    Args:
        before: Its plan as it is.
        after: Its plan as it would be.
        signature: What it takes.
        old: The views as they are.
        new: The views as they would be.
        recoded: Transforms whose source has changed.
    """
    lost = sorted((before.provided - after.provided) & set(signature.names))
    if lost:
        return f"nothing would provide {', '.join(map(repr, lost))}."
    fresh = sorted(set(after.entities) - set(before.entities))
    if fresh:
        return f"its requests do not carry the key {', '.join(map(repr, fresh))}."
    steps = {step.output.name: step for step in after.transforms}
    for step in before.transforms:
        name = step.output.name
        now = steps.get(name)
        if name in recoded or (now is not None and now.function is not step.function):
            return f"{name!r} would be computed otherwise than when it was trained."
    was, would = _features(before, old), _features(after, new)
    for name, feature in was.items():
        said = _changed(feature, would[name]) if name in would else None
        if said:
            return f"{name!r} {said}."
    return None


def _features(plan: FeaturePlan, config: FeaturesConfig) -> dict[str, ViewFeature]:
    taken = {feature.name for view in plan.views for feature in view.features}
    return {
        feature.name: feature
        for view in plan.views
        for feature in config.views[view.name].features
        if feature.name in taken
    }


def _changed(was: ViewFeature, would: ViewFeature) -> str | None:
    if was.unit and would.unit != was.unit:
        return f"would come in {would.unit or 'no unit'} and not in {was.unit}"
    if was.default is not None and would.default is None:
        return "would lose its default"
    return None
