"""Templates and what they may call; whatever is put into one is escaped."""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from trimtab.report import charts, words

STYLE = files("trimtab.report").joinpath("templates/trimtab.css").read_text(encoding="utf-8")
"""The style sheet of the report and of the dashboard."""


def environment(*packages: str) -> Environment:
    """Templates of these packages, looked up in order, and then those of the report."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "trimtab.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "breakable": breakable,
        "lasting": words.lasting,
        "number": words.number,
        "p_value": words.p_value,
        "percent": words.percent,
        "plain": words.plain,
        "score": words.score,
        "size": words.size,
        "upfirst": words.upfirst,
        "when": words.when,
        "prose": prose,
    }
    made.globals |= {
        "meter": charts.meter,
        "ramp_chart": charts.ramp_chart,
        "span": words.span,
        "sparkline": charts.sparkline,
        "stacked_bar": charts.stacked_bar,
    }
    return made


def breakable(name: str) -> Markup:
    """A name that may be broken after an underscore.

    >>> breakable("a_<b>")
    Markup('a_<wbr>&lt;b&gt;')
    """
    return Markup("_<wbr>").join(name.split("_"))


def prose(text: str) -> Markup:
    """Text with what stands in backticks set as code.

    >>> prose("`<UA>` is new")
    Markup('<code>&lt;UA&gt;</code> is new')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first
