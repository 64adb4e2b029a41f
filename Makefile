# mypostshare: build, test, check.  `make help` lists what there is.
#
#   make SAN=address,undefined test   builds beside the normal tree, in build-address,undefined
#   make FAIL=1 ...                   builds with failpoints, in build-fail (tests only)
#   make COV=1 ...                    builds that count what is run, in build-cov: see make coverage
#   make FUZZ=1 ...                   builds with clang for libFuzzer, in build-fuzz: see make fuzz

CC      ?= gcc
comma   := ,
B       := build$(if $(FUZZ),-fuzz,$(if $(SAN),-$(SAN))$(if $(COV),-cov)$(if $(FAIL),-fail))
PKGS    := sqlite3 libcurl libsodium inih libcrypto
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wformat=2 -Wwrite-strings $(if $(CI),-Werror)
# Trap of gcc 12.2 with auto-var-init: where a struct holds an array of structs that hold structs with padding, followed by
# a smaller member, filling it in full by an initializer clears "padding" at the wrong place.  Use parallel arrays there.
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero \
           $(if $(SAN)$(COV),,-D_FORTIFY_SOURCE=3)
SANFLAG := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
           $(if $(COV),--coverage -fprofile-update=atomic)
CFLAGS  ?= $(if $(COV),-O0,-O2) -g
ifdef FUZZ	# gcc's own flags stay away: what is looked for here are faults at run time
override CC := clang
CFLAGS  := -O1 -g
WARN    := -Wall -Wextra
HARDEN  :=
SANFLAG := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
CPPFLAGS += -I. -I$(B) -D_GNU_SOURCE $(if $(FAIL),-DMPS_FAILPOINTS) -MMD -MP
ALLC     = -std=c17 $(CFLAGS) $(WARN) $(HARDEN) $(SANFLAG)
LDHARD   = -Wl,-z,relro,-z,now -Wl,-z,noexecstack $(SANFLAG)
LDLIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lcivetweb -lunistring -lpthread -ldl

core    := $(filter-out core/main.c,$(wildcard core/base/*.c core/io/*.c core/model/*.c core/engine/*.c \
           core/sandbox/*.c core/api/*.c core/dashboard/*.c))
probesrc := $(wildcard core/probe/*.c) core/base/probed.c
hostsrc := $(wildcard core/host/*.c) $(filter-out core/base/zone.c core/base/tzif.c core/base/embed.c,$(wildcard core/base/*.c))
plugin  := $(patsubst plugins/%.c,$(B)/plugins/%.so,$(wildcard plugins/*.c))
obj      = $(patsubst %.c,$(B)/obj/%.o,$(1))
# Hosts and probe have one thread and shut themselves in; TSan's shadow fits into no RLIMIT_AS and asks for forbidden calls,
# and counts of coverage could not be written.  In such builds they are therefore compiled without.
plain   := $(findstring thread,$(SAN))$(COV)
shut     = $(patsubst %.c,$(B)/$(if $(plain),plain,obj)/%.o,$(1))
testso  := $(patsubst tests/plugins/%.c,$(B)/tests/plugins/%.so,$(wildcard tests/plugins/*.c)) $(B)/tests/oom.so
unit    := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*.c))

.PHONY: lint coverage crash fail-build fuzz fuzz-build fuzz-all fuzz-merge all help setup demo test test-long audit bench check clean install unit
all: $(B)/mypostshare $(B)/libexec/mypostshare-host $(B)/libexec/mypostshare-probe $(plugin) $(B)/try

help:
	@sed -n 's/^#   //p; s/^\([a-z-]*\):.*## /  \1\t/p' Makefile

$(B)/mypostshare: $(call obj,$(wildcard core/*.c) $(core)) $(B)/obj/embed.o
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $^ $(LDLIBS)

$(B)/libexec/mypostshare-host: $(call shut,$(hostsrc))
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $^ -lsodium -lunistring -ldl

$(B)/libexec/mypostshare-probe: $(call shut,$(probesrc))
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $^

$(B)/try: $(call obj,$(wildcard sdk/try/*.c) $(filter-out core/host/main.c,$(hostsrc)))
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $^ -lsodium -lunistring -ldl

$(B)/plugins/%.so: plugins/%.c $(wildcard sdk/*.h plugins/*/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) $(WARN) $(HARDEN) -Isdk -fvisibility=hidden -fPIC -shared -Wl,-z,defs,-z,relro,-z,now -o $@ $<

# Providers for tests: those that misbehave, and a client of a strict OAuth server.
$(B)/tests/plugins/oidc_dpop.so: tests/plugins/oidc.c
$(B)/tests/plugins/%.so: tests/plugins/%.c $(wildcard sdk/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) $(WARN) -D_GNU_SOURCE -Isdk -fvisibility=hidden -fPIC -shared -Wl,-z,defs -o $@ $<

# For LD_PRELOAD: lets one allocation of a process fail.
$(B)/tests/oom.so: tests/oom/fail.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CFLAGS) $(WARN) -D_GNU_SOURCE -fPIC -shared -Wl,-z,defs -o $@ $< -ldl

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -c -o $@ $<

$(B)/plain/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -c -o $@ $<
ifneq ($(plain),)
$(B)/plain/%.o $(B)/libexec/mypostshare-host $(B)/libexec/mypostshare-probe: private SANFLAG :=
endif

# SQL migrations and web files become one object: tools/embed writes the C.
embedded := $(wildcard db/*.sql) $(wildcard core/dashboard/*.css core/dashboard/*.svg core/dashboard/*.js core/dashboard/*.html)
$(B)/embed.c: tools/embed $(embedded)
	@mkdir -p $(@D)
	tools/embed $(embedded) > $@
$(B)/obj/embed.o: $(B)/embed.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -c -o $@ $<

# Unit tests: one program per file, linked with everything but main.
$(B)/libcore.a: $(call obj,$(core)) $(B)/obj/embed.o
	@rm -f $@
	ar qcs $@ $^
$(B)/unit/%: tests/unit/%.c tests/unit/test.h $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $< $(B)/libcore.a $(LDLIBS)
# One operation of the engine without hosts, network and refreshes: see tests/unit/op_bench.h.
wraps := $(addprefix -Wl$(comma)--wrap=,hosts_step hosts_fault hosts_waits hosts_turn hosts_timeout http_send http_turn http_running http_wakeup \
         provide_turn refresh_wait dpop_answered db_rescue id_random clock_now)
$(B)/unit/op_%: tests/unit/op_%.c tests/unit/test.h $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) $(wraps) -o $@ $< $(B)/libcore.a $(LDLIBS)
rig := $(call obj,$(wildcard tests/rig/*.c))
$(B)/unit/engine $(B)/unit/engine_edit $(B)/unit/engine_media $(B)/unit/engine_thread $(B)/unit/instance $(B)/unit/account_limits: $(B)/unit/%: tests/unit/%.c tests/unit/test.h $(rig) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $< $(rig) $(B)/libcore.a $(LDLIBS)
$(B)/unit/instance $(B)/unit/account_limits: | $(B)/tests/plugins/instance.so
# The crash tests are programs of builds with failpoints: make FAIL=1 crash.
crash := $(patsubst tests/crash/%.c,$(B)/crash/%,$(wildcard tests/crash/*.c tests/crash/driver/*.c))
$(B)/crash/%: tests/crash/%.c $(rig) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $< $(rig) $(B)/libcore.a $(LDLIBS)
crash: all $(crash) $(B)/tests/plugins/instance.so
fail-build:
	$(MAKE) --no-print-directory FAIL=1 crash
hostunit := $(call obj,$(filter-out core/host/main.c,$(hostsrc)) sdk/try/action.c)
$(B)/unit/host_%: tests/unit/host_%.c tests/unit/test.h $(hostunit)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $< $(hostunit) -lsodium -lunistring
$(B)/unit/probe: tests/unit/probe.c tests/unit/test.h $(call obj,$(filter-out core/probe/main.c core/base/probed.c,$(probesrc))) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $< $(filter %.o,$^) $(B)/libcore.a $(LDLIBS)
$(B)/unit/probe: private CPPFLAGS += -DBUILD_FOLDER='"$(B)"'
$(B)/unit/probe: $(B)/libexec/mypostshare-probe
$(B)/unit/hostproc: private CPPFLAGS += -DBUILD_FOLDER='"$(B)"'
$(B)/unit/hostproc: $(B)/libexec/mypostshare-host $(testso)
unit: $(unit)

# The bench: one program, see tests/bench/README.md.
$(B)/bench: $(call obj,$(wildcard tests/bench/*.c)) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -o $@ $^ $(LDLIBS)
bench: all $(B)/bench ## one table and build/bench.json; QUICK=1 within a minute; PARTS="accept deliver" only these
	@$(B)/bench $(B) $(if $(QUICK),--quick) $(PARTS)

# The simulator of the engine: its own hosts and HTTP in place of the real ones.
simsrc := $(wildcard tests/sim/*.c)
$(B)/sim: $(call obj,$(simsrc) tests/rig/power.c) $(B)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(ALLC) -fPIE -pie $(LDHARD) -Wl,--wrap=db_write,--wrap=db_write_async,--wrap=op_of_delivery -o $@ $(call obj,$(simsrc) tests/rig/power.c) $(B)/libcore.a $(LDLIBS)

comma := ,
# Fuzzing: one program per tests/fuzz/NAME.c, with what it is about; play.c is shared by those that play with a provider.
fuzz     := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(filter-out tests/fuzz/play.c,$(wildcard tests/fuzz/*.c)))
fuzzlink  = @mkdir -p $(@D); $(CC) $(CPPFLAGS) $(ALLC) -fsanitize=fuzzer -o $@ $(filter %.c %.o %.a,$^)
playobj  := $(hostunit) $(call obj,tests/fuzz/play.c core/engine/hostcheck.c)
fuzzplay := $(addprefix $(B)/fuzz/,bluesky mastodon sandbox template)
$(B)/fuzz/bluesky: $(B)/obj/plugins/bluesky.o
$(B)/fuzz/mastodon: $(B)/obj/plugins/mastodon.o
$(B)/fuzz/sandbox: $(B)/obj/plugins/sandbox.o
$(B)/fuzz/template: $(B)/obj/sdk/template/template.o
$(B)/obj/plugins/%.o $(B)/obj/sdk/template/%.o: private CPPFLAGS += -Isdk
$(fuzzplay): $(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(playobj)
	$(fuzzlink) -lsodium -lunistring
$(B)/fuzz/probe: tests/fuzz/probe.c tests/fuzz/fuzz.h $(call obj,$(filter-out core/probe/main.c core/probe/confine.c,$(probesrc)))
	$(fuzzlink)
# What a target puts in the place of a process or of a library is linked by name.
fuzzwrap_frame  := proc_spawn proc_reap proc_kill proc_drop proc_listen
fuzzwrap_answer := curl_easy_setopt
fuzzwrap_idempotency := mg_read
$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(B)/libcore.a
	$(fuzzlink) $(addprefix -Wl$(comma)--wrap=,$(fuzzwrap_$*)) $(LDLIBS)
fuzz-build:
	$(MAKE) --no-print-directory FUZZ=1 fuzz-all
fuzz-all: $(fuzz)
fuzz: fuzz-build ## each target for FUZZ_SECONDS=30 from its saved corpus; TARGETS="json url" only these
	@tests/fuzz/run fuzz $(TARGETS)
fuzz-merge: fuzz-build ## what make fuzz found comes into tests/fuzz/corpus, as few files as reach as far
	@tests/fuzz/run merge $(TARGETS)

setup: ## what is needed to build and to test, by name from Debian and npm
	tools/setup

install: all ## PREFIX=/opt/mypostshare DESTDIR=
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' UNITDIR='$(UNITDIR)' tools/install $(B)

demo: ## a first post before your eyes, then a server until Ctrl-C
	@tools/setup demo
	@$(MAKE) --no-print-directory -s -j2 all
	@tools/demo

test: ## every test, or a group of them: make test T=unit, T=sandbox; one line each, logs of failures in build*/test-logs
	@tools/setup
	@$(MAKE) --no-print-directory all unit $(B)/sim $(B)/bench $(testso) fail-build
	tests/run $(B) $(T)

test-long: all unit $(B)/sim $(B)/bench $(testso) fail-build ## the same with tests/plays/long-*.mjs and more rounds; hours
	LONG=1 tests/run $(B) $(T)

lint: $(B)/embed.c ## clang-tidy, cppcheck and gcc -fanalyzer against tests/lint/accepted.txt; T=tidy, T=cppcheck or T=analyzer alone
	tests/lint/run $(B) $(T)

coverage: ## what the tests run of each file, into build-cov/coverage.txt; fails below tests/coverage/files.txt; T= as for test
	@$(MAKE) --no-print-directory COV=1 all unit build-cov/sim $(testso:$(B)/%=build-cov/%)
	@$(MAKE) --no-print-directory COV=1 FAIL=1 crash
	find build-cov build-cov-fail -name '*.gcda' -delete
	tests/run build-cov $(T)
	tests/coverage/run build-cov build-cov-fail

audit: $(plugin) $(B)/try ## what keeps the provider interface stable, and every provider's conversations
	tools/audit $(B)

check: ## layers and style
	tools/check-layers
	tools/check-style
	tests/tools/checks.sh
	tests/tools/run.sh
	tests/tools/unit-file.sh

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
