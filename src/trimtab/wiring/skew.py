"""Skew, composed: the subject that watches what stores served against views' histories."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.errors import TrimtabError
from trimtab.features.ahead import AheadComparer, AheadWindows
from trimtab.features.history import History, history_of
from trimtab.features.lookup import HistoryLookup
from trimtab.features.skew import FEATURE_SKEW, SkewComparer, SkewWindows
from trimtab.features.views import compile_plan
from trimtab.judge import DriftJudge
from trimtab.protocols import Actor
from trimtab.types import Version
from trimtab.watch import Subject
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import served_features


def skew_subjects(deployment: Deployment, version: Version, actor: Actor) -> Sequence[Subject]:
    """The subject ``feature_skew`` of a version, if any of its views has a history."""
    if not version.views:
        return ()
    config = served_features(deployment)
    try:
        plan = compile_plan(config, version.signature, version.views)
    except TrimtabError:
        return ()  # it cannot be served with these views either; serving says why
    histories: dict[str, History] = {}
    for view in plan.views:
        try:
            histories[view.name] = history_of(config, view.name, deployment.dir)
        except TrimtabError:
            continue  # a view without a history has nothing to be compared with
    if not histories:
        return ()
    watch = deployment.config.watch
    windows = SkewWindows(
        version.model, version.version, version.signature.names, watch.window_seconds, config
    )
    views = [view for view in plan.views if view.name in histories]
    ahead = AheadWindows(windows, SkewComparer(views, HistoryLookup(histories), config))
    return (
        Subject(
            key=f"{version.model}/{version.version}/{FEATURE_SKEW}",
            windower=ahead,
            comparer=AheadComparer(),
            judge=DriftJudge(FEATURE_SKEW, watch),
            actor=actor,
            before=ahead.look,
        ),
    )
