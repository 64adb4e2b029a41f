/*
 * Master key files: 64 hex characters and at most one newline, mode 0400 or 0600, owned by the user who runs
 * the server, no symbolic link.  A file that breaks a rule is refused with a sentence, never repaired: a key
 * that others could read is no key.
 *
 * The one exception: systemd hands credentials in a folder that only the service may enter, owned by root and
 * readable through an access list, which shows as mode 0440.  They are accepted from that folder only.
 */
#include "core/io/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"

#define HEX_CHARS (KEYFILE_BYTES * 2)

/* Lies in the folder that systemd made for this service's credentials. */
static int credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t n = folder ? strlen(folder) : 0;
	return n > 1 && strncmp(path, folder, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

static enum rc check(struct cx *cx, const char *path, const struct stat *st)
{
	unsigned mode = st->st_mode & 07777;
	if (!S_ISREG(st->st_mode))
		return fail(cx, RC_INVALID, "master key %s is not a regular file", path);
	if (credential(path) && st->st_uid == 0 && st->st_gid == 0 && (mode == 0400 || mode == 0440))
		return RC_OK;
	if (st->st_uid != geteuid())
		return fail(cx, RC_DENIED, "master key %s belongs to uid %u, the server runs as uid %u: chown it",
			path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (mode != 0400 && mode != 0600)
		return fail(cx, RC_DENIED, "master key %s has mode %04o: it must be 0400 or 0600; if others could read it, "
			"it is no longer secret", path, mode);
	return RC_OK;
}

static enum rc decode(struct cx *cx, const char *path, const char *text, size_t n, uint8_t out[KEYFILE_BYTES])
{
	size_t done;
	if (n == HEX_CHARS + 1 && text[HEX_CHARS] == '\n')
		n--;
	if (n != HEX_CHARS || sodium_hex2bin(out, KEYFILE_BYTES, text, n, NULL, &done, NULL) != 0 || done != KEYFILE_BYTES)
		return fail(cx, RC_INVALID, "master key %s must hold %d hex characters and nothing else", path, HEX_CHARS);
	return RC_OK;
}

static enum rc read_open(struct cx *cx, const char *path, int fd, uint8_t out[KEYFILE_BYTES])
{
	struct stat st;
	char text[HEX_CHARS + 8];
	size_t n = 0;
	ssize_t got;

	if (fstat(fd, &st) != 0)
		return fail(cx, RC_IO, "master key %s: %s", path, strerror(errno));
	enum rc rc = check(cx, path, &st);
	if (rc)
		return rc;
	while (n < sizeof text && (got = read(fd, text + n, sizeof text - n)) > 0)
		n += (size_t)got;
	rc = decode(cx, path, text, n, out);
	sodium_memzero(text, sizeof text);
	return rc;
}

static enum rc open_failed(struct cx *cx, const char *path, int error)
{
	if (error == ENOENT)
		return fail(cx, RC_NOT_FOUND, "master key %s is missing: put it back from its backup; only for a new installation, "
			"set create_key = yes in [vault]", path);
	if (error == ELOOP)
		return fail(cx, RC_INVALID, "master key %s is a symbolic link: name the file itself", path);
	if (error == EACCES)
		return fail(cx, RC_DENIED, "master key %s cannot be read by uid %u", path, (unsigned)geteuid());
	return fail(cx, RC_IO, "master key %s: %s", path, strerror(error));
}

static enum rc load_one(struct cx *cx, const char *path, keyfile_take_fn *take, void *arg)
{
	uint8_t bytes[KEYFILE_BYTES];
	/* O_NONBLOCK: a named pipe put there must not hold the start */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return open_failed(cx, path, errno);
	enum rc rc = read_open(cx, path, fd, bytes);
	close(fd);
	if (rc == RC_OK)
		rc = take(cx, arg, bytes);
	sodium_memzero(bytes, sizeof bytes);
	return rc;
}

/* ---- making one ------------------------------------------------------------------------------------ */

static int write_random(int fd)
{
	uint8_t bytes[KEYFILE_BYTES];
	char text[HEX_CHARS + 2];
	randombytes_buf(bytes, sizeof bytes);
	sodium_bin2hex(text, sizeof text, bytes, sizeof bytes);
	text[HEX_CHARS] = '\n';
	ssize_t put = write(fd, text, HEX_CHARS + 1);
	sodium_memzero(bytes, sizeof bytes);
	sodium_memzero(text, sizeof text);
	return put == HEX_CHARS + 1 && fchmod(fd, 0400) == 0 && fsync(fd) == 0;
}

/* The name must be on disk before the first secret is sealed under the key. */
static int folder_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	free(folder);
	return ok;
}

/* Written whole under another name, then linked: a crash leaves no half key, and an existing key is never
 * replaced. */
static enum rc make(struct cx *cx, const char *path)
{
	BUF_AUTO struct buf part;
	buf_init(&part, 8192);
	buf_addf(&part, "%s.part-%ld", path, (long)getpid());
	if (!buf_ok(&part))
		return fail(cx, RC_NOMEM, "master key %s: the path is too long", path);
	unlink(buf_text(&part));
	int fd = open(buf_text(&part), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return fail(cx, RC_IO, "master key %s cannot be created: %s", path, strerror(errno));
	int written = write_random(fd);
	int error = written ? 0 : errno;
	close(fd);
	if (written && link(buf_text(&part), path) != 0 && errno != EEXIST)
		error = errno;
	unlink(buf_text(&part));
	if (error || !written || !folder_sync(path))
		return fail(cx, RC_IO, "master key %s cannot be created: %s", path, strerror(error ? error : errno));
	return RC_OK;
}

static int missing(const char *path)
{
	struct stat st;
	return lstat(path, &st) != 0 && errno == ENOENT;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static enum rc load_old(struct cx *cx, const char *path, keyfile_take_fn *take, void *arg)
{
	BUF_AUTO struct buf pattern;
	glob_t found;
	enum rc rc = RC_OK;

	buf_init(&pattern, 16384);
	for (const char *p = path; *p; p++) {
		if (strchr("*?[\\", *p))
			buf_addc(&pattern, '\\');
		buf_addc(&pattern, *p);
	}
	buf_adds(&pattern, ".old-*");
	int status = glob(buf_text(&pattern), GLOB_ERR, NULL, &found);
	if (status == GLOB_NOMATCH)
		return RC_OK;
	if (status != 0)
		return fail(cx, RC_IO, "the folder of master key %s cannot be read for older keys", path);
	for (size_t i = 0; i < found.gl_pathc && rc == RC_OK; i++)
		rc = load_one(cx, found.gl_pathv[i], take, arg);
	globfree(&found);
	return rc;
}

enum rc keyfile_load(struct cx *cx, const char *path, int create, keyfile_take_fn *take, void *arg)
{
	enum rc rc = RC_OK;
	if (create && missing(path))
		rc = make(cx, path);
	if (rc == RC_OK)
		rc = load_one(cx, path, take, arg);
	if (rc == RC_OK)
		rc = load_old(cx, path, take, arg);
	return rc;
}
