"""Runs in the environment of benchmarks/peers/torch.txt: PyTorch's programs against the laws of a format.

Usage: torch_peer.py FOLDER. Prints one line that says how it went.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab.errors import InvalidInput
from trimtab.models.formats.torch import TorchFormat
from trimtab.testing import check_model_format
from trimtab.types import Columns, FeatureKind, FeatureSpec, Signature, Task

ROWS = 12
RNG = np.random.default_rng(3)
NUMBERS = tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in "abc")
COLUMNS = Columns(features=NUMBERS, arrays=tuple(RNG.normal(size=(3, ROWS))))
MATRIX = torch.from_numpy(np.column_stack(COLUMNS.arrays))


class Net(torch.nn.Module):  # type: ignore[misc]
    """Three numbers in, ``width`` out; probabilities if there are several or one for two classes."""

    def __init__(self, width: int, last: torch.nn.Module) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, width), last
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Answer a matrix."""
        answer: torch.Tensor = self.layers(rows)
        return answer


def programs(net: torch.nn.Module) -> list[Any]:
    """The same model exported and scripted."""
    some = (MATRIX[:2].to(next(net.parameters()).dtype),)
    rows = torch.export.Dim("rows")
    return [
        torch.export.export(net, some, dynamic_shapes=({0: rows},)),
        torch.jit.trace(net, some),
    ]


def refused(program: Any, signature: Signature, folder: Path) -> str:
    """What a program is refused with."""
    folder.mkdir()
    TorchFormat().save(program, folder / "model")
    try:
        TorchFormat().load(folder / "model", signature)
    except InvalidInput as error:
        return f"{error.code}: {error}"
    raise AssertionError("it was taken")


def main(folder: Path) -> None:
    """Check every case."""
    two = Signature(features=NUMBERS, task=Task.BINARY)
    three = Signature(features=NUMBERS, task=Task.MULTICLASS, labels=("x", "y", "z"))
    value = Signature(features=NUMBERS, task=Task.REGRESSION)
    cases = [
        (Net(1, torch.nn.Sigmoid()).double().eval(), two),
        (Net(3, torch.nn.Softmax(dim=1)).eval(), three),
        (Net(1, torch.nn.Identity()).eval(), value),
    ]
    done = 0
    for net, signature in cases:
        with torch.inference_mode():
            raw = net(MATRIX.to(next(net.parameters()).dtype)).double().numpy()
        expected = np.hstack((1 - raw, raw)) if signature is two else raw
        for program in programs(net):
            place = folder / str(done)
            place.mkdir()
            check_model_format(
                TorchFormat(), program, signature, COLUMNS, place, expected=expected, tolerance=1e-6
            )
            done += 1
    net = cases[0][0]
    fixed = torch.export.export(net, (MATRIX[:2],))
    assert "signature_mismatch: The program does not take 1 rows of 3 numbers" in refused(
        fixed, two, folder / "fixed"
    )
    wide = Signature(
        features=(*NUMBERS, FeatureSpec(name="d", kind=FeatureKind.NUMERIC)), task=two.task
    )
    assert "rows of 4 numbers" in refused(programs(net)[1], wide, folder / "wide")
    words = Signature(
        features=(FeatureSpec(name="w", kind=FeatureKind.CATEGORICAL),), task=two.task
    )
    assert "'w' is a category" in refused(programs(net)[0], words, folder / "words")
    torch.save(net.state_dict(), folder / "state")
    assert not TorchFormat().sniff(folder / "state")
    assert not TorchFormat().accepts(net)
    sys.stdout.write(f"{done} programs keep the laws\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
