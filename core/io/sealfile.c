/*
 * Sealed files: see sealfile.h.  Head: magic (8), id of the master key (16), wrapped key (72), head of the stream (24);
 * then pieces of 64 KiB, each with its 17 bytes of seal; only the last is shorter and has the tag FINAL.
 */
#include "core/io/sealfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (64 * 1024)
#define FLUSH (4 * 1024 * 1024)	/* so much waits for the disk at most: whoever syncs beside us would wait for all of it */
#define SEAL crypto_secretstream_xchacha20poly1305_ABYTES
#define STREAM_HEAD crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define MASTER_ID (VAULT_KEY_ID_MAX - 1)
#define HEAD (sizeof magic + MASTER_ID + VAULT_WRAPPED + STREAM_HEAD)

static const char magic[8] = {'m', 'p', 's', 'e', 'a', 'l', '1', '\n'};

struct sealfile {
	int fd;
	char name[128];
	crypto_secretstream_xchacha20poly1305_state stream;
	crypto_hash_sha256_state hash;
	int64_t bytes;
	size_t have, at;		/* in plain: filled; of these, handed out */
	bool end;			/* reading: the last piece was opened */
	uint8_t plain[PIECE], sealed[PIECE + SEAL];
};

static enum rc io_fail(struct cx *cx, const struct sealfile *f, int why)
{
	bool full = why == ENOSPC || why == EDQUOT || why == EFBIG;

	return fail(cx, full ? RC_FULL : RC_IO, "%s: %s", f->name, strerror(why));
}

static enum rc blank(struct cx *cx, int folder, const char *name, int flags, struct sealfile **ret)
{
	struct sealfile *f = calloc(1, sizeof *f);

	if (f == NULL)
		return fail(cx, RC_NOMEM, "no memory for a sealed file");
	strncpy(f->name, name, sizeof f->name - 1);
	crypto_hash_sha256_init(&f->hash);
	f->fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0) {
		enum rc rc = errno == ENOENT ? fail(cx, RC_NOT_FOUND, "%s is missing", name) : io_fail(cx, f, errno);
		free(f);
		return rc;
	}
	*ret = f;
	return RC_OK;
}

void sealfile_drop(struct sealfile *f)
{
	if (f == NULL)
		return;
	close(f->fd);
	sodium_memzero(f, sizeof *f);
	free(f);
}

void sealfile_drop_auto(struct sealfile **f)
{
	sealfile_drop(*f);
}

static void facts(struct sealfile *f, struct sealfile_facts *ret)
{
	uint8_t sum[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&f->hash, sum);
	ret->bytes = f->bytes;
	sodium_bin2hex(ret->sha256, sizeof ret->sha256, sum, sizeof sum);
}

/* ---- writing --------------------------------------------------------------------------------------- */

static enum rc put(struct cx *cx, struct sealfile *f, const uint8_t *bytes, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t done = write(f->fd, bytes + at, n - at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return io_fail(cx, f, done < 0 ? errno : ENOSPC);
		at += (size_t)done;
	}
	crypto_hash_sha256_update(&f->hash, bytes, n);
	if (f->bytes / FLUSH != (f->bytes + (int64_t)n) / FLUSH && fdatasync(f->fd) != 0)
		return io_fail(cx, f, errno);
	f->bytes += (int64_t)n;
	return RC_OK;
}

static enum rc head_write(struct cx *cx, struct vault *v, struct sealfile *f, const char *place)
{
	uint8_t head[HEAD], key[32];
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	enum rc rc = vault_key_new(cx, v, head + sizeof magic + MASTER_ID, &k);

	if (rc != RC_OK)
		return rc;
	memcpy(head, magic, sizeof magic);
	memcpy(head + sizeof magic, vault_master_id(v), MASTER_ID);
	vault_key_derive(k, "mypostshare sealed file", place, key);
	crypto_secretstream_xchacha20poly1305_init_push(&f->stream, head + HEAD - STREAM_HEAD, key);
	sodium_memzero(key, sizeof key);
	return put(cx, f, head, sizeof head);
}

enum rc sealfile_new(struct cx *cx, struct vault *v, int folder, const char *name, const char *place, struct sealfile **ret)
{
	struct sealfile *f = NULL;
	enum rc rc = blank(cx, folder, name, O_WRONLY | O_CREAT | O_EXCL, &f);

	if (rc == RC_OK)
		rc = head_write(cx, v, f, place);
	if (rc == RC_OK)
		*ret = f;
	else
		sealfile_drop(f);
	return rc;
}

static enum rc piece_write(struct cx *cx, struct sealfile *f, uint8_t tag)
{
	unsigned long long n = 0;

	crypto_secretstream_xchacha20poly1305_push(&f->stream, f->sealed, &n, f->plain, f->have, NULL, 0, tag);
	f->have = 0;
	return put(cx, f, f->sealed, (size_t)n);
}

enum rc sealfile_add(struct cx *cx, struct sealfile *f, const void *bytes, size_t n)
{
	enum rc rc = RC_OK;

	for (size_t at = 0; at < n && rc == RC_OK;) {
		size_t part = n - at < PIECE - f->have ? n - at : PIECE - f->have;
		memcpy(f->plain + f->have, (const uint8_t *)bytes + at, part);
		f->have += part;
		at += part;
		if (f->have == PIECE)
			rc = piece_write(cx, f, 0);
	}
	return rc;
}

enum rc sealfile_finish(struct cx *cx, struct sealfile *f, struct sealfile_facts *ret)
{
	enum rc rc = piece_write(cx, f, crypto_secretstream_xchacha20poly1305_TAG_FINAL);	/* perhaps an empty one */

	if (rc == RC_OK && fsync(f->fd) != 0)
		rc = io_fail(cx, f, errno);
	if (rc == RC_OK)
		facts(f, ret);
	return rc;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static enum rc get(struct cx *cx, struct sealfile *f, uint8_t *to, size_t want, size_t *ret)
{
	size_t n = 0;

	while (n < want) {
		ssize_t got = read(f->fd, to + n, want - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return io_fail(cx, f, errno);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	crypto_hash_sha256_update(&f->hash, to, n);
	f->bytes += (int64_t)n;
	*ret = n;
	return RC_OK;
}

static enum rc changed(struct cx *cx, const struct sealfile *f)
{
	return fail(cx, RC_CORRUPT, "%s does not open: it was changed, cut off, or belongs to another backup", f->name);
}

static enum rc head_read(struct cx *cx, struct vault *v, struct sealfile *f, const char *place)
{
	uint8_t head[HEAD], key[32];
	char master[VAULT_KEY_ID_MAX] = "";
	VAULT_KEY_AUTO struct vault_key *k = NULL;
	size_t n = 0;
	enum rc rc = get(cx, f, head, sizeof head, &n);

	if (rc != RC_OK)
		return rc;
	if (n != sizeof head || memcmp(head, magic, sizeof magic) != 0)
		return fail(cx, RC_CORRUPT, "%s is no sealed file, or its head is cut off", f->name);
	memcpy(master, head + sizeof magic, MASTER_ID);
	if (strspn(master, "0123456789abcdef") != MASTER_ID)
		return changed(cx, f);
	rc = vault_key_open(cx, v, master, head + sizeof magic + MASTER_ID, VAULT_WRAPPED, &k);
	if (rc != RC_OK) {	/* the vault's words know no file */
		struct cx why = *cx;
		cx_init(cx, why.who);
		return fail(cx, rc, "%s: %.600s", f->name, why.words);
	}
	vault_key_derive(k, "mypostshare sealed file", place, key);
	int bad = crypto_secretstream_xchacha20poly1305_init_pull(&f->stream, head + HEAD - STREAM_HEAD, key);
	sodium_memzero(key, sizeof key);
	return bad ? changed(cx, f) : RC_OK;
}

enum rc sealfile_open(struct cx *cx, struct vault *v, int folder, const char *name, const char *place, struct sealfile **ret)
{
	struct sealfile *f = NULL;
	enum rc rc = blank(cx, folder, name, O_RDONLY | O_NONBLOCK, &f);

	if (rc == RC_OK)
		rc = head_read(cx, v, f, place);
	if (rc == RC_OK)
		*ret = f;
	else
		sealfile_drop(f);
	return rc;
}

static enum rc piece_read(struct cx *cx, struct sealfile *f)
{
	unsigned long long plain = 0;
	unsigned char tag = 0;
	size_t n = 0;
	uint8_t more;
	enum rc rc = get(cx, f, f->sealed, sizeof f->sealed, &n);

	if (rc != RC_OK)
		return rc;
	if (n < SEAL || crypto_secretstream_xchacha20poly1305_pull(&f->stream, f->plain, &plain, &tag, f->sealed, n, NULL, 0) != 0)
		return changed(cx, f);
	f->have = (size_t)plain;
	f->at = 0;
	f->end = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	if (f->end ? read(f->fd, &more, 1) != 0 : plain != PIECE)
		return changed(cx, f);
	return RC_OK;
}

enum rc sealfile_read(struct cx *cx, struct sealfile *f, void *out, size_t room, size_t *ret_n, struct sealfile_facts *ret_facts)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && f->at == f->have && !f->end)
		rc = piece_read(cx, f);
	if (rc != RC_OK)
		return rc;
	size_t n = f->have - f->at < room ? f->have - f->at : room;
	memcpy(out, f->plain + f->at, n);
	f->at += n;
	*ret_n = n;
	if (n == 0 && room > 0 && ret_facts)
		facts(f, ret_facts);
	return RC_OK;
}
