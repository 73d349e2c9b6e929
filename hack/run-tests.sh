#!/usr/bin/env bash
# Runs every test, in two lanes side by side: real guests mostly wait, everything else mostly computes.
# The guests' lane is shown when it has ended.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=.venv/bin/pytest
log=$(mktemp)
"$pytest" tests/e2e/test_guests_*.py >"$log" 2>&1 &
guests=$!
trap 'kill "$guests" 2>/dev/null; wait "$guests"; rm -f "$log"' EXIT
failed=0
"$pytest" -n 2 --dist loadfile --ignore=tests/e2e || failed=1
"$pytest" tests/e2e --ignore-glob='*/test_guests_*' || failed=1
echo "Waiting for the tests with real guests"
wait "$guests" || failed=1
cat "$log"
exit "$failed"
