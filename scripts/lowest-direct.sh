#!/usr/bin/env bash
# Shows that the lower bounds in pyproject.toml are true: installs the wheel with every direct
# dependency at its lowest version, in an environment of its own, and runs the unit tests there.
# Usage: lowest-direct.sh WHEEL [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wheel=$1
shift
extras=(sklearn lightgbm onnx postgres redis lmdb)
uv=.venv/bin/uv

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export UV_PYTHON_DOWNLOADS=never

# The lowest versions have wheels for the lowest Python only; a newer one cannot check the bounds.
python=
for candidate in .venv/bin/python python3.11 python3.12; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "The lower bounds can be checked with Python 3.11 or 3.12 only; neither was found." >&2
    exit 1
fi

"$uv" venv --quiet --python "$python" "$work/venv"
# The tools of the tests are no dependency of the package: they stand at their locked versions.
for tool in anyio duckdb pytest hypothesis polars; do
    sed -n "s/^\($tool==[^ ;]*\).*/\1/p" requirements.lock
done >"$work/tools.txt"
"$uv" pip install --quiet --python "$work/venv/bin/python" --resolution lowest-direct \
    --requirement pyproject.toml "${extras[@]/#/--extra=}" --requirement "$work/tools.txt"
"$uv" pip install --quiet --python "$work/venv/bin/python" --no-deps "$wheel"
"$uv" pip freeze --quiet --python "$work/venv/bin/python" |
    grep -iE '^(alembic|click|lightgbm|msgspec|narwhals|numpy|onnxruntime|pandas|pyarrow|redis|scikit-learn|scipy|sqlalchemy|starlette|uvicorn)==' |
    paste -sd' '
"$work/venv/bin/python" -m pytest -p no:cacheprovider "$@" tests/unit
