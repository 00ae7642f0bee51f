#!/usr/bin/env bash
# Creates the virtual environment with the newest supported Python that really runs.
# PYTHON=/path/to/python chooses another.
set -euo pipefail
venv=$1

python=
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    # A version manager may leave a command that only says it is not installed: so run each.
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Trimtab needs Python 3.11 or later; found: $(python3 --version 2>&1 || echo none)." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$("$python" --version) has no venv module: on Debian and Ubuntu, apt-get install python3-venv." >&2
    exit 1
fi
"$python" -m venv --clear "$venv"
echo "made $venv with $("$venv/bin/python" --version)"
