#!/usr/bin/env bash
# Pins what the demo and the tests install, for every platform, without addresses. `make lock`
# regenerates requirements.lock; `make lock UPGRADE=1` also takes newer versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${UV:-.venv/bin/uv}

body=$(mktemp)
trap 'rm -f "$body"' EXIT
[ ! -f requirements.lock ] || cp requirements.lock "$body"
"$uv" pip compile --quiet --universal --python-version 3.11 \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --strip-extras --no-config \
    --no-emit-package trimtab ${UPGRADE:+--upgrade} \
    --extra demo --extra postgres --extra lmdb --extra kafka --extra grpc --extra lightgbm --extra catboost --extra onnx --extra mlflow --group pyproject.toml:test \
    --output-file "$body" pyproject.toml >/dev/null
{
    echo '# Exact versions of what `make demo` and `make test` install, on Python 3.11 and later.'
    echo '# Made from pyproject.toml by `make lock`; do not edit by hand.'
    grep -v '^ *#' "$body"
} >requirements.lock
