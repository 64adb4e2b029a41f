#!/bin/sh
# rules.sh BUILD [SEEDS [WORDS]]: switches off each rule of tests/sim/rules.txt (or those whose name holds WORDS), one at
# a time and in a copy of the tree, and wants the simulator to find a violation within so many seeds.
#
# One line per rule: `ok RULE: seed N: violation` or `not ok RULE: why`.
set -eu
build=$1 seeds=${2:-20000} words=${3:-}
cd "$(dirname "$0")/../.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/tests" "$tree/build"
cp -a Makefile core db tools sdk "$tree"
cp -a tests/sim "$tree/tests/"
for part in obj embed.c libcore.a; do
	[ ! -e "$build/$part" ] || cp -a "$build/$part" "$tree/build/"
done
unset MAKEFLAGS MFLAGS
(cd "$tree" && make -s build/sim)
failed=0

say() {
	echo "$1 $2: $3"
	[ "$1" = ok ] || failed=1
}

# try NAME FILE PROGRAM
try() {
	cp -p "$tree/$2" "$tree/kept"
	sed "$3" "$tree/kept" > "$tree/$2"
	if cmp -s "$tree/kept" "$tree/$2"; then
		say 'not ok' "$1" "its sed program changes nothing in $2"
	elif ! (cd "$tree" && make -s build/sim 2> errors); then
		say 'not ok' "$1" "without it nothing builds: $(grep -m 1 error "$tree/errors")"
	else
		found=$("$tree/build/sim" 1 "$seeds" 2> "$tree/errors" | tail -n 1)
		case $found in
		'not ok '*) say ok "$1" "${found#not ok }" ;;
		*) say 'not ok' "$1" "nobody missed it: $found" ;;
		esac
	fi
	cp "$tree/kept" "$tree/$2"
}

while IFS='|' read -r name file program; do
	case $name in '' | '#'*) continue ;; *"$words"*) ;; *) continue ;; esac
	try "$name" "$file" "$program" < /dev/null
done < tests/sim/rules.txt
exit "$failed"
