#!/bin/sh
# The systemd unit's exposure must be at most 1.5 (systemd 252 counts in tenths); skipped where the tool is missing.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v systemd-analyze > /dev/null; then
	echo "ok unit-file # skipped: no systemd-analyze"
	exit 0
fi
score=$(systemd-analyze security --offline=true "${1:-etc/mypostshare.service}" |
	sed -n 's/.*exposure level for [^:]*: \([0-9.]*\) .*/\1/p')
awk -v score="$score" 'BEGIN { exit !(score != "" && score + 0 <= 1.5) }' || {
	echo "not ok unit-file: exposure ${score:-unknown}, at most 1.5 is allowed"
	exit 1
}
echo "ok unit-file"
