#!/bin/sh
# Sees tests/run fail: programs that crash, hang, say nothing or leave something behind, in a tree made for it.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/tests/unit" "$tree/build/unit" "$tree/tests/plays" "$tree/tools"
cp -r "$here/run" "$here/lib" "$tree/tests/"
[ ! -e "$here/node_modules" ] || ln -s "$here/node_modules" "$tree/tests/node_modules"
cd "$tree"
failed=0

# unit NAME LINE...: a unit program that is this script
unit() {
	name=$1
	shift
	: > "tests/unit/$name.c"
	printf '%s\n' '#!/bin/sh' "$@" > "build/unit/$name"
	chmod +x "build/unit/$name"
}

# expect STATUS GROUP WORDS [BUILD]: the runner ends so, and among its lines is one with the words
expect() {
	status=0
	out=$(tests/run "${4:-build}" "$2" 2>&1) || status=$?
	if [ "$status" = "$1" ] && printf '%s\n' "$out" | grep -qF -- "$3"; then
		echo "ok $2: $3"
	else
		echo "not ok $2: status $status: $out"
		failed=1
	fi
}

printf '#!/bin/sh\nexit 0\n' > tools/audit
chmod +x tools/audit
unit good 'echo ok first; echo ok second'
unit bad 'echo ok first; echo "not ok second: file:1: words"; exit 1'
unit liar 'echo "not ok first: words"; exit 0'
unit crash 'echo ok first; kill -SEGV $$'
unit quiet 'exit 0'
unit lonely_leaves_a_child 'sleep 300 & echo $! > child; echo ok first'
# A server of a play, or a grandchild of anything, that a sanitizer has something to say about.
unit reported 'echo ok first; eval "$(echo "$TSAN_OPTIONS" | sed "s/:/;/g")"' \
	'echo "WARNING: ThreadSanitizer: data race (pid=1)
SUMMARY: ThreadSanitizer: data race core/a.c:1 in planted" > "$log_path.1"'
unit said 'echo ok first; echo "core/a.c:1:2: runtime error: signed integer overflow" >&2'
cat > tests/plays/watched.mjs <<'END'
import { run } from '../lib/process.mjs';
import { curtain, scene } from '../lib/play.mjs';
scene('its child says nothing good', () => run('sh', ['-c', 'echo "words: ==7==ERROR: AddressSanitizer: heap-use-after-free"; true']));
await curtain();
END
cp -r build build-thread
printf 'console.log("ok scene"); setTimeout(() => {}, 1e9); setTimeout(() => process.exit(0), 100);\n' > tests/plays/stage-one.mjs

expect 0 good '2 passed, 0 failed'
expect 1 bad 'not ok unit/bad second: file:1: words'
expect 1 liar '0 passed, 1 failed'
expect 1 crash 'not ok unit/crash: SIGSEGV'
expect 1 quiet 'not ok unit/quiet: no test ran'
expect 1 nothing 'nothing is called nothing'
expect 0 stage 'ok plays/stage-one scene'
expect 0 audit 'ok audit'
expect 1 unit 'not ok unit/crash'
expect 0 lonely '1 passed, 0 failed'
if grep -qs '^State:.*[RSDT] (' "/proc/$(cat child)/status"; then
	echo "not ok lonely: its child is still there"
	failed=1
fi
expect 1 reported 'not ok unit/reported: SUMMARY: ThreadSanitizer: data race core/a.c:1 in planted' build-thread
expect 1 said 'not ok unit/said: core/a.c:1:2: runtime'
expect 1 watched 'not ok plays/watched no report of a sanitizer: sh: words: ==7==ERROR:'		# its own report is none of this file's
expect 1 bad 'output in build/test-logs'
[ -s build/test-logs/unit-bad.log ] || { echo 'not ok bad: no log'; failed=1; }
exit "$failed"
