from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trimtab.store.state import open_state

OPEN = """
import sys
from trimtab.store.state import open_state
open_state(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


def test_only_a_database_that_is_not_of_the_present_schema_needs_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    told = [
        subprocess.run(
            [sys.executable, "-c", OPEN, url], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert ["True", "False"] == told
    open_state(url).close()
