"""A proxy that goes wrong, in a process of its own: in the measured one it would take turns with what is measured.

Usage: proxy_process.py PORT. Prints the port that it listens on; each line that comes in names a fault.
"""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Self

import numpy as np

from trimtab.testing import Fault, FaultyProxy


class ProxyProcess:
    """A :class:`~trimtab.testing.FaultyProxy` of another process.

    Args:
        port: Of the server on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._server = port

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def set(self, fault: Fault) -> None:
        """Go wrong so from now on; returns when it does."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{fault}\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main(port: int) -> None:
    draw = np.random.default_rng(2)

    def delay() -> float:
        return float(draw.lognormal(math.log(0.04), 0.8))

    with FaultyProxy(port, delay) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            proxy.fault = Fault(line.strip())
            print(proxy.fault, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
