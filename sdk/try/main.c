/*
 * try [--show] PLUGIN.so [CONVERSATION.json...]: loads a provider into this very process, checks it, and replays
 * conversations with it.  No network, no core, no sandbox.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/host.h"
#include "sdk/try/try.h"

static bool load(const char *file, struct mps_provider *ret)
{
	const struct mps_provider *(*entry)(const struct mps_host *);
	struct buf words BUF_AUTO, path BUF_AUTO;
	void *object, *found;

	buf_init(&words, 8192);
	buf_init(&path, 8192);
	buf_addf(&path, "%s%s", strchr(file, '/') ? "" : "./", file);
	object = dlopen(buf_text(&path), RTLD_NOW | RTLD_LOCAL);
	found = object ? dlsym(object, "mps_provider_v1") : NULL;
	if (!found) {
		fprintf(stderr, "%s: %s\n", file, object ? "it exports no mps_provider_v1" : dlerror());
		return false;
	}
	memcpy(&entry, &found, sizeof entry);
	if (!provider_check(entry(host_table()), ret, &words) || !replay_kinds(ret, &words)) {
		fprintf(stderr, "%s: %s\n", file, buf_text(&words));
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct mps_provider provider;
	const char *plugin = NULL;
	bool show = false;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--show") == 0)
			show = true;
		else if (plugin == NULL && argv[i][0] != '-')
			plugin = argv[i];
	}
	if (plugin == NULL) {
		fprintf(stderr, "usage: %s [--show] PLUGIN.so [CONVERSATION.json...]\n", argv[0]);
		return 2;
	}
	if (!load(plugin, &provider))
		return 1;
	printf("ok %s: %s %s, interface 1.%u\n", plugin, provider.id, provider.version, provider.abi_minor);
	for (int i = 1; i < argc; i++)
		if (argv[i] != plugin && strcmp(argv[i], "--show") != 0)
			failed |= replay_file(&provider, argv[i], show) != 0;
	return failed ? 1 : 0;
}
