"""The compact format: every decision path and, where the order of sums allows, every bit kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trimtab.compact import Link
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.forms import NativeForm
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.pipelines import split
from trimtab.protocols import ModelForm
from trimtab.types import Ground, Task


class Compact:
    """Trees of any supported library in 8 bytes an inner node, read by memory map."""

    name = "compact"
    lossless = True

    def offers(
        self,
        form: ModelForm,
        ground: Ground,
    ) -> Iterator[tuple[str, ModelForm]]:
        """The compact form of a tree ensemble; nothing for other models."""
        if not isinstance(form, NativeForm):
            return
        head, tail = split(form.model)
        try:
            ensemble = ensemble_of(tail)
        except InvalidPlan:
            return
        if ground.task is Task.BINARY and ensemble.link is Link.LOGISTIC and ensemble.columns == 1:
            ensemble = replace(ensemble, link=Link.BINARY)
        yield "compact", PackedForm(ensemble, head)
