#!/usr/bin/env bash
# Runs every test, in three lanes side by side: whole flows mostly wait, with real guests or with disks alone, and
# everything else mostly computes. The flows are shown when they have ended.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/pytest --durations=15)
logs=$(mktemp -d)
"${pytest[@]}" tests/e2e/test_guests_*.py >"$logs/guests" 2>&1 &
guests=$!
"${pytest[@]}" tests/e2e --ignore-glob='*/test_guests_*' >"$logs/disks" 2>&1 &
disks=$!
trap 'kill "$guests" "$disks" 2>/dev/null; wait; rm -rf "$logs"' EXIT
failed=0
# What computes takes the time that the flows leave it: they are the longest, and all end at about the same time.
nice -n 5 "${pytest[@]}" -n 2 --dist loadfile --ignore=tests/e2e || failed=1
echo "Waiting for the flows"
wait "$disks" || failed=1
cat "$logs/disks"
wait "$guests" || failed=1
cat "$logs/guests"
exit "$failed"
