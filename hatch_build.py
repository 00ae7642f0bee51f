"""Builds the C kernel where there is a C compiler; without one the wheel is pure Python.

Run as a program, it builds the kernel into the tree, for an editable installation.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

SOURCE = Path("src/trimtab/compact/kernel/_walk.c")
# Products are rounded before they are added, as the libraries do that models come from.
FLAGS = ("-O3", "-std=c11", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra")


def compiled(source: Path, target: Path, *flags: str) -> str:
    """Compile into ``target``; returns why it could not be done, or nothing."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    linking = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()
    include = sysconfig.get_path("include")
    command = [*compiler, *FLAGS, *flags, "-shared", f"-I{include}", str(source), *linking]
    try:
        done = subprocess.run(
            [*command, "-o", str(target), "-lm"], check=False, capture_output=True, text=True
        )
    except OSError as error:
        return str(error)
    return done.stderr if done.returncode else ""


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run as a program
    pass
else:

    class KernelBuildHook(BuildHookInterface):  # type: ignore[misc]  # not there outside a build
        """Puts the kernel beside its source."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile, and say of the wheel what it then is."""
            root = Path(self.root)
            place = SOURCE.with_suffix(".abi3.so")
            target = root / (place if version == "editable" else Path("build") / place.name)
            target.parent.mkdir(exist_ok=True)
            why = compiled(root / SOURCE, target)
            if why:
                self.app.display_warning(f"trimtab without its C kernel: {why}")
                return
            if version != "editable":
                build_data["force_include"][str(target)] = str(place.relative_to("src"))
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    problem = compiled(here / SOURCE, here / SOURCE.with_suffix(".abi3.so"))
    sys.exit(problem or 0)
