#!/usr/bin/env bash
# Makes the environment of a benchmark's peers outside the repository, once, and prints the path of
# its Python. Usage: peer-env.sh NAME, with the requirements in benchmarks/peers/NAME.txt.
# TRIMTAB_PEERS chooses another folder than the user's cache.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
name=$1
requirements="$root/benchmarks/peers/$name.txt"
venv="${TRIMTAB_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab-peers}/$name"
uv="$root/.venv/bin/uv"

[ -f "$requirements" ] || { echo "There is no $requirements." >&2; exit 1; }
if ! cmp --silent "$requirements" "$venv/.made"; then
    UV_PYTHON_DOWNLOADS=never "$uv" venv --quiet --clear --python "$root/.venv/bin/python" "$venv" >&2
    "$uv" pip install --quiet --python "$venv/bin/python" --requirement "$requirements" >&2
    cp "$requirements" "$venv/.made"
fi
echo "$venv/bin/python"
