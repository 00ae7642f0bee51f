"""PyTorch programs without their Python source: ``torch.export`` and TorchScript."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab.errors import InvalidInput
from trimtab.models.formats.matrix import outputs
from trimtab.types import Columns, FeatureKind, FloatArray, Signature

_SCRIPT = "/constants.pkl"
_EXPORTED = "/archive_format"


class TorchFormat:
    """``torch.export.save`` or ``torch.jit.save``; both are opened by unpickling, so somebody must vouch.

    The program takes one matrix, a row a prediction, a column a feature in the signature's order, and
    answers probabilities (of the second class, or of each) or values.
    """

    name = "torch"
    runs_code = True

    def sniff(self, path: Path) -> bool:
        """Whether it is an archive with the entries that PyTorch writes; a state alone is not enough."""
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        scripted = any(name.endswith(_SCRIPT) for name in names) and any(
            "/code/" in n for n in names
        )
        return scripted or any(name.endswith(_EXPORTED) for name in names)

    def load(self, path: Path, signature: Signature) -> TorchPredictor:
        """Load a file; whatever code is in it runs now."""
        data = BytesIO(path.read_bytes())
        with zipfile.ZipFile(data) as archive:
            exported = any(name.endswith(_EXPORTED) for name in archive.namelist())
        data.seek(0)
        module: Any
        if exported:
            module = torch.export.load(data).module()
        else:
            module = torch.jit.load(data, map_location="cpu").eval()
        torch.set_num_threads(1)
        return TorchPredictor(module, signature)

    def accepts(self, model: object) -> bool:
        """Whether it is an exported program or a scripted module; a plain module has to become one."""
        return isinstance(model, torch.export.ExportedProgram | torch.jit.ScriptModule)

    def save(self, model: object, path: Path) -> None:
        """Write a program."""
        data = BytesIO()
        if isinstance(model, torch.export.ExportedProgram):
            torch.export.save(model, data)
        else:
            torch.jit.save(model, data)
        path.write_bytes(data.getvalue())


class TorchPredictor:
    """A program as a :class:`~trimtab.protocols.Predictor`.

    Raises:
        InvalidInput: a feature is no number, or the program takes another shape.
    """

    def __init__(self, module: Any, signature: Signature) -> None:
        self._module = module
        self._task = signature.task
        first = next(iter(module.parameters()), None)
        self._dtype = torch.float32 if first is None else first.dtype
        for spec in signature.features:
            if spec.kind is FeatureKind.CATEGORICAL:
                raise InvalidInput(
                    f"{spec.name!r} is a category, but the program takes a matrix of numbers.",
                    hint="Encode categories before the program, or register a callable that does.",
                    code="signature_mismatch",
                    path=spec.name,
                )
        self._check_shape(len(signature.features))

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        return outputs(self._answer(np.column_stack(columns.arrays)), self._task)

    def _answer(self, matrix: FloatArray) -> FloatArray:
        with torch.inference_mode():
            answer = self._module(torch.from_numpy(matrix).to(self._dtype))
        taken: FloatArray = answer.to(torch.float64).numpy()
        return taken

    def _check_shape(self, width: int) -> None:
        for rows in (1, 3):
            try:
                self._answer(np.zeros((rows, width)))
            except (RuntimeError, AssertionError) as error:
                raise InvalidInput(
                    f"The program does not take {rows} rows of {width} numbers:"
                    f" {str(error).strip().splitlines()[-1]}",
                    hint="Export it with the rows as a dynamic dimension:"
                    " dynamic_shapes=({0: torch.export.Dim('rows')},).",
                    code="signature_mismatch",
                ) from error
