#!/bin/sh
# Sees tools/check-layers and tools/check-style fail: one fault each, in a tree made for it, named by file and line.
# Words are shell patterns.
set -eu
tools=$(cd "$(dirname "$0")/../../tools" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
failed=0

# layers FILE INCLUDE [WORDS]: a file with that include must be refused with the words, or accepted without words.
layers() {
	rm -rf core plugins sdk
	mkdir -p "$(dirname "$1")" core/base sdk plugins
	: > sdk/provider.h
	printf '/* head */\n#include %s\n' "$2" > "$1"
	expect "$1 includes $2" "$1:2:*${3-}" "${3+refused}" "$tools/check-layers" .
}

# style FILE WORDS-or-"" TEXT...: the lines of text must be refused with the words.
style() {
	f=$1 words=$2
	shift 2
	printf '%s\n' "$@" > "$f"
	expect "$f: $*" "$words" "${words:+refused}" "$tools/check-style" "$f"
}

expect() {
	name=$1 words=$2 want=$3
	shift 3
	if said=$("$@" 2>&1); then got=; else got=refused; fi
	case $said in *$words*) named=yes ;; *) named=no ;; esac
	if [ "$got" != "$want" ] || { [ "$want" ] && [ $named = no ]; }; then
		echo "not ok $name: $said"
		failed=1
	fi
}

layers core/base/a.c '"core/base/b.h"'
layers core/base/a.c '"core/io/db.h"' 'base must not include io'
layers core/io/a.c '"core/model/post.h"' 'io must not include model'
layers core/model/a.c '"core/io/db.h"'
layers core/model/a.c '"core/engine/op.h"' 'model must not include engine'
layers core/engine/a.c '"core/api/route.h"' 'engine must not include api'
layers core/engine/a.h '"core/dashboard/page.h"' 'engine must not include dashboard'
layers core/api/a.c '"core/dashboard/page.h"'
layers core/api/a.c '"core/main.h"' 'api must not include'
layers core/main.c '"core/api/route.h"'
layers core/host/a.c '"core/base/buf.h"'
layers core/host/a.c '"sdk/provider.h"'
layers core/host/a.c '"core/io/db.h"' 'host must not include io'
layers core/sandbox/a.c '"core/io/web.h"'
layers core/sandbox/a.c '"core/model/post.h"' 'sandbox must not include model'
layers core/io/a.c '"core/base/../api/route.h"' 'io must not include ..'
layers core/io/a.c '"db.h"' 'give the path from the top'
layers core/other/a.c '"core/base/buf.h"' 'other must not include base'
layers core/model/a.c '<sqlite3.h>' 'belongs to io'
layers core/api/a.c '<curl/curl.h>' 'belongs to io'
layers core/io/a.c '<sqlite3.h>'
layers plugins/x.c '"provider.h"'
layers plugins/x.c '<string.h>'
layers plugins/x.c '<sys/socket.h>' 'a plugin includes'
layers plugins/x.c '"other.h"' 'not a header of sdk'
layers plugins/x.c '"core/base/buf.h"' 'plugin must not include base'
layers plugins/x.c '"x/part.h"'
layers plugins/x.c '"y/part.h"' 'plugin must not include y'
layers plugins/x/part.h '"x/other.h"' 'plugin must not include x'

long=$(printf '%0141d' 0)
fits=$(printf '%0140d' 0)
style a.c '' '/* head */' 'int a;'
style a.c 'a.c:1: the file must open' 'int a;'
style a.mjs 'a.mjs:1: the file must open' 'let a;'
style a.mjs '' '// head' 'let a;'
style a.sh 'a.sh:2: the file must open' '#!/bin/sh' 'set -e'
style tool 'tool:2: the file must open' '#!/usr/bin/env bash' 'set -e'
style tool '' '#!/usr/bin/env node' 'set -e'
style a.c 'a.c:2: the line has 141' '/* head */' "$long"
style a.c '' '/* head */' "$fits"
style a.c 'a.c:2: blanks' '/* head */' 'int a; '
style a.c 'a.c:2: a leftover' '/* head */' "// TO""DO: x"
style a.c '' '/* head */' 'int XXX3, TODOS;'
style a.c 'a.c:2: a path' '/* head */' "char *a = \"/""work/x\";"
style a.c 'a.c:2: strcpy is forbidden' '/* head */' 'strcpy(a, b);'
style a.c 'a.c:3: sprintf is forbidden' '/* head' ' */' "x = '\"'; sprintf (a, b);"
style a.c 'a.c:2: localtime is forbidden' '/* head */' 't = localtime(&now);'
style a.c '' '/* head */' 'gmtime_r(&now, &tm);'
style a.c '' '/* head: strcpy(a, b) */' 'snprintf(a, "atoi(1)"); my_gets(x); /* gets(' 'atoi(2) */ int a;'
style a.c 'a.c:601: the file has 601' '/* head */' "$(seq 600)"
style a.c '' '/* head */' "$(seq 599)"
style a.c 'a.c:3: the function has 81' '/* head */' 'int a(void)' '{' "$(seq 81)" '}'
style a.c '' '/* head */' 'int a(void)' '{' "$(seq 80)" '}'

[ $failed = 0 ] && echo "ok checks"
exit $failed
