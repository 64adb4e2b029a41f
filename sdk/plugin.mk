# Builds one provider.  Set PLUGIN (the id) and SOURCES, then include this file.
#
#   make          $(PLUGIN).so
#   make check    refuses imports and exports that a provider may not have

sdk_folder := $(dir $(lastword $(MAKEFILE_LIST)))
CC     ?= cc
CFLAGS ?= -O2 -g -Wall -Wextra
MPS_CFLAGS := $(shell pkg-config --cflags mypostshare 2>/dev/null || echo -I$(sdk_folder))

.PHONY: all check clean
all: $(PLUGIN).so
$(PLUGIN).so: $(SOURCES)
	$(CC) -std=c17 $(CFLAGS) $(MPS_CFLAGS) -fvisibility=hidden -fPIC -shared -Wl,-z,defs,-z,relro,-z,now -o $@ $(SOURCES)

check: $(PLUGIN).so
	sh $(sdk_folder)check-provider $<

clean:
	rm -f $(PLUGIN).so
