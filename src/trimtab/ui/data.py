"""A model's page as data: every newest verdict whole, and earlier windows as series."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.types import Verdict
from trimtab.wiring.overview import ModelOverview


def model_data(found: ModelOverview) -> dict[str, Any]:
    """What the page of a model shows, ready for JSON.

    ``verdicts`` are the newest ones by subject and version; ``windows`` has all that were read, with
    the scores of their comparisons by name. The route's slot table is left out.
    """
    newest = {(v.subject, v.version): v for v in found.verdicts}
    route = found.route
    return {
        "model": found.model,
        "health": found.health,
        "because": found.because,
        "champion": found.champion,
        "epoch": route.epoch if route else None,
        "arms": msgspec.to_builtins(route.arms) if route else [],
        "versions": msgspec.to_builtins(found.versions),
        "rollouts": msgspec.to_builtins(found.rollouts),
        "verdicts": msgspec.to_builtins(list(newest.values())),
        "windows": [_window(verdict) for verdict in found.verdicts],
        "alerts": msgspec.to_builtins(found.alerts),
        "events": msgspec.to_builtins(found.events),
    }


def _window(verdict: Verdict) -> dict[str, Any]:
    return {
        "subject": verdict.subject,
        "version": verdict.version,
        "start": verdict.start,
        "end": verdict.end,
        "rows": verdict.rows,
        "state": verdict.state,
        "score": verdict.score,
        "scores": {found.name: round(found.score, 4) for found in verdict.comparisons},
        "values": {
            found.name: found.current_value
            for found in verdict.comparisons
            if verdict.subject == "performance"
        },
    }
