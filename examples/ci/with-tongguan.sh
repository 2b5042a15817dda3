#!/usr/bin/env bash
# Runs a command against a VPN gateway API of its own, in any CI: no account, no costs, nothing left over.
#
#   with-tongguan.sh pytest tests/
#
# The command finds the key, the region and TONGGUAN_ENDPOINT in its environment (tongguan dev --help lists all variables).
# Its exit code is this script's. If it fails, the calls that were refused are shown.
set -euo pipefail
program=${TONGGUAN_BIN:-tongguan}
folder=$(mktemp -d)
# Ports of its own: other jobs run on the same machine.
"$program" dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --env-file "$folder/env" >"$folder/log" 2>&1 &
service=$!
trap 'kill "$service" 2>/dev/null || true; wait "$service" 2>/dev/null || true; rm -rf "$folder"' EXIT
# The file is there as soon as the service can be called.
until [ -s "$folder/env" ]; do
    kill -0 "$service" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done
set -a
. "$folder/env"
set +a
code=0
"$@" || code=$?
if [ "$code" -ne 0 ]; then
    echo "The calls that were refused:" >&2
    curl --silent --fail "$TONGGUAN_ADMIN_URL/test/requests" | jq --compact-output '.requests[] | select(.code)' >&2
fi
exit "$code"
