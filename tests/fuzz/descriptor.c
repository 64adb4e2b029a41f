/*
 * What a provider says about itself: any text in place of its descriptor.
 *
 * One that is taken has what the core relies on without asking again.
 */
#include "fuzz.h"

#include "core/base/log.h"
#include "core/model/platform.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct platform *p = NULL;
	struct cx cx;

	cx_init(&cx, NULL);
	if (platform_read(&cx, "a", "1.0", text, &p) == RC_OK) {
		MUST(p->name != NULL && p->operations != NULL && p->hosts != NULL && p->client != NULL);
		MUST(p->dedupe_count > 0 || !platform_has(p, "publish"));
		MUST(p->exchange.access != NULL && p->exchange.refresh != NULL && p->exchange.expires_in != NULL && p->exchange.scope != NULL);
		MUST(p->refresh.access != NULL && p->refresh.refresh != NULL && p->state_min <= p->state_max);
		MUST(p->dedupe_count == 0 || (platform_dedupe(p, "default") != NULL && platform_dedupe(p, "nothing such") != NULL));
		(void)platform_secret_paths(p, "published");
		(void)platform_needs_client(p);
		platform_give(p);
	} else {
		MUST(cx.words[0] != '\0');
	}
	free(text);
	return 0;
}
