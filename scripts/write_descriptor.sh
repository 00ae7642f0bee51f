#!/usr/bin/env bash
# Compiles the description of the gRPC service, in an environment of its own, since the compiler is no
# dependency. With --check it only compares.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=src/trimtab/serve/rpc
python=$(scripts/peer-env.sh grpc-tools)
made=$(mktemp)
trap 'rm -f "$made"' EXIT
"$python" -m grpc_tools.protoc --proto_path "$folder" --descriptor_set_out "$made" open_inference.proto
if [ "${1:-}" = --check ]; then
    cmp "$made" "$folder/open_inference.desc"
else
    cp "$made" "$folder/open_inference.desc"
fi
