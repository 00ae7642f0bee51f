#!/usr/bin/env bash
# The programs that the tests start and that no Python package brings. Says which are missing and
# installs them with apt-get when run as root; otherwise prints the command and fails.
set -euo pipefail

# package | any of these commands | why
needs=(
    "chromium|chromium chromium-browser google-chrome|the dashboard is looked at in a real browser"
    "redis-server|redis-server|online features are kept in, and lost with, a real Redis"
    "prometheus|prometheus|/metrics is scraped by a real Prometheus"
    "gcc|gcc cc|the C kernel of compact forests is built, also with sanitizers"
    "postgresql|postgres /usr/lib/postgresql/*/bin/postgres|state is kept in a real PostgreSQL"
)

present() {
    local name
    for name in $1; do # unquoted: a name may be a pattern
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

has_headers() {
    python3 -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'
}

find_missing() {
    missing=()
    local need package commands why
    for need in "${needs[@]}"; do
        IFS='|' read -r package commands why <<<"$need"
        present "$commands" || { missing+=("$package"); echo "missing: $package ($why)"; }
    done
    if ! has_headers; then
        missing+=(python3-dev)
        echo "missing: python3-dev (Python's headers, for the same kernel)"
    fi
}

find_missing
if [ ${#missing[@]} -eq 0 ]; then
    echo "system packages: all present"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install these with this system's own package manager: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Run: sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# The tests start the servers themselves, on free ports: a policy of 101 keeps apt from doing so.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"

find_missing
if [ ${#missing[@]} -ne 0 ]; then
    echo "still missing after the install: ${missing[*]}" >&2
    exit 1
fi
echo "system packages: all present"
