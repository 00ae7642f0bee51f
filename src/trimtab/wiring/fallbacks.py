"""Fallbacks, composed: the subject that watches where a version's stored values come from."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.errors import TrimtabError
from trimtab.features.fallbacks import (
    FEATURE_FALLBACK,
    FallbackActor,
    FallbackComparer,
    FallbackJudge,
    FallbackWindows,
)
from trimtab.features.views import compile_plan
from trimtab.types import Version
from trimtab.watch import Subject
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import served_features


def fallback_subjects(deployment: Deployment, version: Version) -> Sequence[Subject]:
    """The subject ``feature_fallback`` of a version that reads views."""
    if not version.views:
        return ()
    config = served_features(deployment)
    try:
        plan = compile_plan(config, version.signature, version.views)
    except TrimtabError:
        return ()  # it cannot be served with these views either; serving says why
    if not plan.views:
        return ()
    return (
        Subject(
            key=f"{version.model}/{version.version}/{FEATURE_FALLBACK}",
            windower=FallbackWindows(
                version.model,
                version.version,
                version.signature.names,
                plan,
                config.fallback_window_seconds,
            ),
            comparer=FallbackComparer(config),
            judge=FallbackJudge(),
            actor=FallbackActor(),
        ),
    )
