/*
 * Prints offset and size of every field that crosses between core and provider; tools/audit compares them with
 * offsets.txt.  A field that is missing here shows as a gap, and a gap fails.
 */
#include "sdk/provider.h"

#include <stdio.h>

#define HOST_FIELDS(F) \
	F(struct_size) F(abi_minor) F(kind) F(phase) F(event) F(now) F(seed) F(input) F(get) F(set) F(status) \
	F(header) F(json) F(json_type) F(json_count) F(json_source) F(body) F(handle) F(request) F(path) F(query) \
	F(req_header) F(req_header_more) F(bearer) F(basic) F(form) F(multipart) F(multipart_media) F(req_body) \
	F(body_media) F(json_open) F(json_close) F(json_text) F(json_int) F(json_bool) F(json_null) F(json_raw) \
	F(dpop) F(send) F(wait) F(wait_user) F(redirect) F(done) F(fail) F(found) F(absent) F(unknown) F(result) \
	F(warn) F(token) F(retry_after) F(sha256) F(base64url) F(graphemes) F(concat) F(number) F(time_iso) \
	F(time_ms) F(alloc) F(hmac) F(jwt)

#define PROVIDER_FIELDS(F) \
	F(struct_size) F(abi_minor) F(needs_minor) F(reserved) F(id) F(version) F(describe) F(step)

struct field { const char *name; size_t offset, size; };

#define HOST_FIELD(name) { "mps_host." #name, offsetof(struct mps_host, name), sizeof ((struct mps_host *)0)->name },
#define PROVIDER_FIELD(name) { "mps_provider." #name, offsetof(struct mps_provider, name), sizeof ((struct mps_provider *)0)->name },

static const struct field host[] = { HOST_FIELDS(HOST_FIELD) { NULL, sizeof(struct mps_host), 0 } };
static const struct field provider[] = { PROVIDER_FIELDS(PROVIDER_FIELD) { NULL, sizeof(struct mps_provider), 0 } };

/* Fields follow each other without a hole, up to the end of the struct. */
static int print(const struct field *f)
{
	size_t end = 0;

	for (; f->name; f++) {
		if (f->offset != end) {
			fprintf(stderr, "offsets.c: a field before %s is not listed\n", f->name);
			return 1;
		}
		end = f->offset + f->size;
		printf("%s %zu %zu\n", f->name, f->offset, f->size);
	}
	if (end != f->offset) {
		fprintf(stderr, "offsets.c: fields at the end of a struct are not listed\n");
		return 1;
	}
	return 0;
}

int main(void)
{
	return print(host) | print(provider);
}
