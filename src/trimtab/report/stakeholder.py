"""The stakeholder report: one HTML file that can be mailed, printed and kept."""

from __future__ import annotations

from trimtab.config import ModelConfig, WatchConfig
from trimtab.report.rendering import STYLE, environment
from trimtab.report.view import model_view
from trimtab.wiring.overview import ModelOverview

_TEMPLATES = environment()


def render_report(
    overview: ModelOverview,
    *,
    config: ModelConfig,
    now: float,
    title: str = "",
    watch: WatchConfig = WatchConfig(),  # noqa: B008 - frozen
) -> str:
    """Write the report on a model: the verdict first, then why, then how it was measured.

    Args:
        overview: What is told.
        config: The model's owner, purpose and outcome, in words.
        now: When the report is written, Unix seconds.
        title: Its heading; the model's name if empty.
        watch: Thresholds and spans for the appendix.

    Returns:
        A self-contained HTML document: no script, nothing loaded from elsewhere.
    """
    return _TEMPLATES.get_template("report.html").render(
        view=model_view(overview, config, watch),
        config=config,
        watch=watch,
        title=title or overview.model,
        now=now,
        style=STYLE,
    )
