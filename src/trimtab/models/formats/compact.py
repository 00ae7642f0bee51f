"""Compact models: row programs, estimators and forests without code, read by memory map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trimtab.compact.artifact import CompactModel, Draft, known, read, write
from trimtab.errors import InvalidInput, Refused
from trimtab.types import Columns, FloatArray, Scalar, Signature, Task


class CompactFormat:
    """The artifact of :mod:`trimtab.compact.artifact`."""

    name = "compact"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether it begins as an artifact does."""
        return known(path)

    def load(self, path: Path, signature: Signature) -> CompactPredictor:
        """Open a file by memory map, and check its probe rows on this machine.

        Raises:
            Refused: it was cut or changed, or answers its probe rows otherwise than the original did.
            InvalidInput: it takes other features than the signature names.
        """
        model = read(path)
        _check(model, signature)
        refuse_other_answers(model)
        return CompactPredictor(model, signature)

    def accepts(self, model: object) -> bool:
        """Whether it is a compact model that has not been written yet."""
        return isinstance(model, Draft)

    def save(self, model: object, path: Path) -> None:
        """Write a compact model."""
        if isinstance(model, Draft):
            write(model, path)


def refuse_other_answers(model: CompactModel) -> None:
    """Answer the probe rows on this machine.

    Raises:
        Refused: an answer is another than the original's.
    """
    apart = model.differs()
    if apart is not None:
        raise Refused(
            f"On this machine the compact model answers {model.manifest.probe.rows} stored rows"
            f" up to {apart:.3g} apart from the original; at most"
            f" {model.manifest.probe.tolerance:.3g} is tolerated.",
            hint="The original answers in its place. Register the model on this kind of machine.",
            code="probe_failed",
        )


class CompactPredictor:
    """A compact model as a :class:`~trimtab.protocols.Predictor`."""

    def __init__(self, model: CompactModel, signature: Signature) -> None:
        self._model = model
        self.forests = model.forests
        self.certificate = model.manifest.certificate
        own = [spec.name for spec in model.manifest.features]
        self._places = [signature.names.index(name) for name in own]
        self._straight = self._places == list(range(len(own)))

    @property
    def one(self) -> Callable[[Sequence[Scalar]], Sequence[float]] | None:
        """Scores one row of values in the signature's order; None where that is no shorter way."""
        answer, places = self._model.one, self._places
        if answer is None or self._straight:
            return answer
        return lambda values: answer([values[place] for place in places])

    @property
    def many(self) -> Callable[[Sequence[Sequence[Scalar]]], FloatArray] | None:
        """Scores rows of values, each as :attr:`one` would to the last bit; None where that is None."""
        answer, places = self._model.many, self._places
        if answer is None or self._straight:
            return answer
        return lambda rows: answer([[values[place] for place in places] for values in rows])

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        if self._straight:
            return self._model.predict(columns)
        arrays = tuple(columns.arrays[place] for place in self._places)
        return self._model.predict(Columns(features=self._model.manifest.features, arrays=arrays))


def _check(model: CompactModel, signature: Signature) -> None:
    own = {spec.name: spec.kind for spec in model.manifest.features}
    asked = {spec.name: spec.kind for spec in signature.features}
    width = 1 if signature.task is Task.REGRESSION else len(signature.labels) or 2
    if own != asked or width != model.manifest.outputs:
        raise InvalidInput(
            f"The compact model takes {own} and answers {model.manifest.outputs} numbers, but the"
            f" signature names {asked} and {width}.",
            hint="Register it with the signature that it was compiled for.",
            code="signature_mismatch",
        )
