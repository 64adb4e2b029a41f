/*
 * What every fuzz target begins with.
 *
 * A target is one program: LLVMFuzzerTestOneInput takes bytes as they would come from outside, hands them to the
 * product, and aborts with a sentence where a rule is broken that the sanitizers cannot see.  The rule is worked out
 * a second time here, another way, or it is a round trip; a target without such a rule finds crashes only.
 */
#ifndef MPS_TESTS_FUZZ_H
#define MPS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define MUST_SAY(cond, ...) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__); \
		fputc('\n', stderr); \
		abort(); \
	} \
} while (0)
#define MUST(cond) MUST_SAY(cond, "%s", #cond)

/* A copy that ends with NUL, exactly as long as it must be, so that the sanitizer sees the first byte too many. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* ---- a file of the target's own, removed at its end ---- */

static char fuzz_folder[64], fuzz_file[96];

static inline void fuzz_file_remove(void)
{
	unlink(fuzz_file);
	rmdir(fuzz_folder);
}

static inline void fuzz_file_make(const char *name)
{
	snprintf(fuzz_folder, sizeof fuzz_folder, "/tmp/mps-fuzz-XXXXXX");
	MUST(mkdtemp(fuzz_folder) != NULL);
	snprintf(fuzz_file, sizeof fuzz_file, "%s/%s", fuzz_folder, name);
	atexit(fuzz_file_remove);
}

#endif
