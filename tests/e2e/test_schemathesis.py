"""Requests made from the OpenAPI document by Schemathesis: no answer is a server error or beside the document."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
"""All but those on whether a schema tells good data from bad: it describes JSON, and the row checker more."""


def test_whatever_the_document_allows_or_not_is_answered_as_it_says(server: Any) -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "schemathesis"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    ran = subprocess.run(
        [
            Path(made.stdout.strip()).with_name("schemathesis"),
            "run", f"{server.url}/openapi.json", "--checks", ",".join(CHECKS),
            "--phases", "coverage,fuzzing", "--max-examples", "5", "--generation-deterministic", "--no-color",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stdout[-8_000:]
