"""A wheel has the C kernel where there was a compiler, and only there."""

from __future__ import annotations

import shlex
import shutil
import sysconfig
from pathlib import Path

from trimtab.compact.kernel import COMPILED


def test_the_kernel_is_there_if_there_is_a_compiler() -> None:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    assert (shutil.which(compiler) is not None and headers) == COMPILED
