"""The C kernel, built with address and undefined-behaviour sanitizers, on forged and damaged files.

Sanitizers stop the process at the first read outside a section; the digest of every forged file is
made to match, so that the kernel's own checks are what is tested.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import trimtab

ROOT = Path(__file__).resolve().parents[2]
FILES = 3000

# The kernel's module is put in place before the package looks for it.
FUZZ = """
import importlib.machinery, importlib.util, random, struct, sys
import numpy as np, xxhash
spec = importlib.util.spec_from_file_location("trimtab.compact.kernel._walk", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["trimtab.compact.kernel._walk"] = module
spec.loader.exec_module(module)
import trimtab.compact.kernel as kernel
from trimtab.compact import CategorySet, Forest, Tree, TreeEnsemble, pack
from trimtab.errors import Refused
kernel._walk = module
assert module.INTERFACE == kernel.INTERFACE
rng = np.random.default_rng(3)
def tree(splits, sets, flat=False):
    left, right = [-1], [-1]
    for _ in range(splits):
        leaves = [n for n, child in enumerate(left) if child < 0]
        leaf = leaves[0] if flat else rng.choice(leaves)
        left[leaf], right[leaf] = len(left), len(left) + 1
        left += [-1, -1]; right += [-1, -1]
    n = len(left)
    return Tree(rng.integers(0, 3, n).astype(np.int32), rng.normal(size=n), np.array(left, np.int32),
                np.array(right, np.int32), rng.normal(size=(n, 1)),
                category_set=np.where(rng.random(n) < .3, 0, -1).astype(np.int32) if sets else None)
def ensemble(many, sets, float32):
    s = (CategorySet(frozenset([1.0, 2.0])),) if sets else ()
    return TreeEnsemble([tree(k, sets, k == 50) for k in many], 3, np.zeros(1), float32_input=float32, category_sets=s,
                        categories={f: np.arange(5.0) for f in range(3)} if sets else {})
X = np.concatenate([rng.normal(size=(20, 3)), np.full((1, 3), np.nan), np.full((1, 3), np.inf), np.zeros((1, 3))])
counts = {"refused": 0, "answered": 0}
for number in range(int(sys.argv[2])):
    data = bytearray(pack(ensemble([0, 1, (30, 50, 45, 90)[number // 50 % 4]], number // 50 % 3 == 0, number // 50 % 2 == 1))) if number % 50 == 0 else bytearray(sound)
    if number % 50 == 0: sound = bytes(data)
    header = struct.unpack_from("<I", data, 28)[0]
    for _ in range(random.Random(number).randrange(1, 5)):
        # Mostly the numbers, for the header is checked before the kernel sees anything.
        place = int(rng.integers(32 + (header if rng.random() < .8 else 0), len(data)))
        data[place] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(0, 256)]))
    if number % 7 == 0: del data[int(rng.integers(32, len(data))):]
    data[8:24] = xxhash.xxh3_128_digest(bytes(data[24:]))
    try:
        forest = Forest(bytes(data), compiled=True)
    except Refused:
        counts["refused"] += 1
        continue
    if forest.features == 3:
        forest.raw(X); forest.raw(X[:7]); forest.paths(X)
    counts["answered"] += 1
for width in range(1, 40):
    numbers = rng.normal(size=(5, width))
    row = kernel.packing(width, list(zip(("subtract", "add", "multiply", "divide", "fill_nan"), numbers)))
    values = rng.normal(size=width).tolist()
    values[width // 2] = None
    assert len(row(*values)) == 8 * width
    for wrong in ([], values[1:], [*values, 1.0], [*values[1:], "x"]):
        try:
            row(*wrong)
        except TypeError:
            continue
        raise SystemExit("a row of another width was packed")
print(counts["refused"], counts["answered"])
"""


def test_no_forged_file_makes_the_kernel_read_outside_it(tmp_path: Path) -> None:
    source = Path(trimtab.__file__).parent / "compact" / "kernel" / "_walk.c"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    library = tmp_path / "_walk.so"
    subprocess.run(
        [
            *compiler,
            *("-O1", "-g", "-std=c11", "-fPIC", "-shared", "-fno-omit-frame-pointer"),
            *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            f"-I{sysconfig.get_path('include')}",
            *(str(source), "-o", str(library), "-lm"),
        ],
        check=True,
    )
    runtime = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(library), str(FILES)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    refused, answered = map(int, done.stdout.split())
    assert FILES == refused + answered
    assert refused > FILES // 10
    assert answered > FILES // 10
