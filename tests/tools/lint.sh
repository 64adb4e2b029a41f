#!/bin/sh
# Sees tests/lint fail: a new finding, one that is gone, one without a reason, a tool that is missing; cppcheck on a tree of
# one file.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/tests/lint" "$tree/core" "$tree/build"
cp "$here/lint/lint.mjs" "$here/lint/run" "$tree/tests/lint/"
[ ! -e "$here/node_modules" ] || ln -s "$here/node_modules" "$tree/tests/node_modules"
cd "$tree"
git init -q .
failed=0

# expect STATUS WORDS [TOOL]
expect() {
	status=0
	out=$(tests/lint/run build "${3:-cppcheck}" 2>&1) || status=$?
	if [ "$status" != "$1" ] || ! printf '%s\n' "$out" | grep -qF -- "$2"; then
		echo "not ok $2: status $status: $out"
		failed=1
	fi
}

row='cppcheck | core/a.c | nullPointer | Null pointer dereference: p'
printf 'int a(void);\nint a(void)\n{\n\tint *p = 0;\n\treturn *p;\n}\n' > core/a.c
: > tests/lint/accepted.txt
git add -A
expect 1 "not ok lint: new: $row"
echo "$row | a test" > tests/lint/accepted.txt
expect 0 'ok lint cppcheck'
echo "$row" > tests/lint/accepted.txt
expect 1 'no reason'
echo "$row | a test" > tests/lint/accepted.txt
printf 'int a(void);\nint a(void)\n{\n\treturn 1;\n}\n' > core/a.c
expect 1 "not ok lint: gone, take it out of tests/lint/accepted.txt: $row"
PATH=$(dirname "$(command -v git)"):/bin
mkdir bin
for tool in sh git env dirname node; do ln -s "$(command -v $tool)" "bin/$tool" 2> /dev/null || :; done
PATH=$tree/bin
status=0
out=$(tests/lint/run build tidy 2>&1) || status=$?
case $out in
*'clang-tidy is missing: tools/setup lint'*) ;;
*) echo "not ok a missing tool: status $status: $out"; failed=1 ;;
esac
PATH=/usr/bin:/bin
[ $failed = 0 ] && echo "ok lint"
exit $failed
