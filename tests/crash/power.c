/*
 * F2: the power fails, again and again, at any write, sync or cut of a file, while a store works: callers of several kinds
 * at once, checkpoints, erasure, big and small transactions.  After each failure the disk has all that was synced and
 * any part, torn, of what was not (tests/rig/power.h).  Then
 *
 *   the store opens, SQLite's whole check is content, it is not in rescue
 *   every transaction that was acknowledged is there, and whole
 *   no transaction is there in part
 *
 * 300 failures; 5,000 with TEST_LONG=1; the seed is printed and can be given: power [FAILURES [SEED]].
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/io/migrate.h"
#include "tests/rig/power.h"
#include "tests/rig/rig.h"

#define CALLERS 5
#define WORDS_MAX 200
#define KEEP 300			/* transactions that the store holds at most: older ones are erased */

static char folder[100];
static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static const struct embed tables[] = {
	{"db/0001_power.sql", (const unsigned char *)"CREATE TABLE deed (id INTEGER PRIMARY KEY, parts INTEGER NOT NULL);"
	 "CREATE TABLE part (deed INTEGER NOT NULL REFERENCES deed(id), n INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (deed, n));"
	 "CREATE INDEX part_text ON part (text);", 0},
	{NULL, NULL, 0}
};

/* ---- deeds: a row and its parts, all or none ------------------------------------------------------------ */

struct deed { int64_t id, parts, bytes; bool acked; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct deed *deeds;		/* by id */
static int64_t deed_count, deed_room, erased_to, erased_sure;	/* erased: ids below are gone; sure: and that was acknowledged */
static int64_t acknowledged;

static enum rc deed_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct deed *d = arg;
	char text[4100];

	memset(text, 'a' + (int)(d->id % 26), sizeof text);
	text[d->bytes] = '\0';
	db_run(c, "INSERT INTO deed (id, parts) VALUES (?1, ?2)", "ii", d->id, d->parts);
	for (int64_t i = 0; i < d->parts; i++)
		db_run(c, "INSERT INTO part (deed, n, text) VALUES (?1, ?2, ?3)", "iis", d->id, i, text);
	return db_fail(cx, c);
}

static enum rc erase_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const int64_t *below = arg;

	db_run(c, "DELETE FROM part WHERE deed < ?1", "i", *below);
	db_run(c, "DELETE FROM deed WHERE id < ?1", "i", *below);
	return db_fail(cx, c);
}

static struct deed deed_new(int kind)
{
	struct deed d = {.parts = 1 + kind, .bytes = kind == 4 ? 4000 : 20 + 100 * kind};

	pthread_mutex_lock(&lock);
	if (deed_count == deed_room) {
		deed_room = deed_room ? deed_room * 2 : 65536;
		deeds = realloc(deeds, sizeof *deeds * (size_t)deed_room);
		MUST(deeds != NULL);
	}
	d.id = deed_count++;
	deeds[d.id] = d;
	pthread_mutex_unlock(&lock);
	return d;
}

struct caller { struct db *db; int kind; pthread_t thread; };

static void *caller_run(void *arg)
{
	struct caller *me = arg;
	struct cx cx;

	while (!power_is_off()) {
		struct deed d = deed_new(me->kind);

		cx_init(&cx, "caller");
		if (db_write(&cx, me->db, deed_write, &d) != RC_OK)
			continue;
		pthread_mutex_lock(&lock);
		deeds[d.id].acked = true;
		acknowledged++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void erase(struct db *db)
{
	int64_t below;
	struct cx cx;

	pthread_mutex_lock(&lock);
	below = deed_count - KEEP;
	pthread_mutex_unlock(&lock);
	if (below <= erased_to)
		return;
	erased_to = below;
	cx_init(&cx, "erase");
	if (db_write(&cx, db, erase_write, &below) == RC_OK)
		erased_sure = below;
}

/* ---- one failure --------------------------------------------------------------------------------------- */

static struct db *store_open(void)
{
	struct embed list[2] = {tables[0], tables[1]};
	struct db *db = NULL;
	struct cx cx;
	int applied;

	list[0].n = strlen((const char *)list[0].bytes);
	cx_init(&cx, "power");
	if (db_open(&cx, &(struct db_config){.folder = folder, .readers = 2}, &db) != RC_OK ||
	    (!power_is_off() && migrate_files(&cx, db, list, &applied) != RC_OK && !power_is_off())) {
		if (!power_is_off())
			rig_die(__FILE__, __LINE__, "the store does not open: %s", cx.words);
	}
	return db;
}

static void work(void)
{
	struct db *db = store_open();
	struct caller callers[CALLERS];
	struct cx cx;

	if (db == NULL)
		return;
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){.db = db, .kind = i};
		MUST(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]) == 0);
	}
	while (!power_is_off()) {
		cx_init(&cx, "power");
		usleep(300);
		erase(db);
		if (draw(6) == 0)
			(void)db_scrub(&cx, db);
	}
	for (int i = 0; i < CALLERS; i++)
		pthread_join(callers[i].thread, NULL);
	db_abandon(db);
}

static bool fault(char *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fault(char *words, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, WORDS_MAX, fmt, ap);
	va_end(ap);
	return false;
}

/* Whether what the store has of one deed is right. */
static bool deed_fits(const struct deed *d, bool there, int64_t parts, char *words)
{
	if (there && parts != d->parts)
		return fault(words, "transaction %lld is there in part: %lld of %lld", (long long)d->id, (long long)parts, (long long)d->parts);
	if (!there && parts > 0)
		return fault(words, "transaction %lld is there in part: parts alone", (long long)d->id);
	if (!there && d->acked && d->id >= erased_to)
		return fault(words, "transaction %lld was acknowledged and is lost", (long long)d->id);
	if (there && d->id < erased_sure)
		return fault(words, "transaction %lld was erased and is back", (long long)d->id);
	return true;
}

static bool compare(struct db_conn *c, char *words)
{
	int64_t from = erased_to > KEEP ? erased_to - KEEP : 0;
	STMT_AUTO struct stmt *s = db_query(c, "SELECT d.id, d.parts, COUNT(p.n) FROM deed d LEFT JOIN part p ON p.deed = d.id GROUP BY d.id"
					    " ORDER BY d.id", "");
	bool more = db_next(s);

	if (db_number(c, -1, "SELECT COUNT(*) FROM part WHERE deed NOT IN (SELECT id FROM deed)", "") != 0)
		return fault(words, "parts without their transaction");
	for (int64_t id = more && db_int(s, 0) < from ? db_int(s, 0) : from; id < deed_count; id++) {
		bool there = more && db_int(s, 0) == id;

		if (!deed_fits(&deeds[id], there, there ? db_int(s, 2) : 0, words))
			return false;
		if (there)
			more = db_next(s);
	}
	if (more || db_rc(c) != RC_OK)
		return fault(words, "a row that nobody wrote: %s", db_words(c));
	return true;
}

static bool judge(char *words)
{
	struct db *db = store_open();
	struct db_conn *c;
	struct cx cx;
	bool good;

	cx_init(&cx, "power");
	if (db_checkup(&cx, db, true, NULL) != RC_OK || db_rescue(db)) {
		good = fault(words, "the check says: %.150s", cx.words);
	} else {
		c = db_take(db);
		good = compare(c, words);
		db_give(c);
	}
	db_close(db);
	return good;
}

static void start_anew(int64_t failure)
{
	char command[300];

	if (failure % 25 != 0)
		return;
	power_forget();
	snprintf(command, sizeof command, "rm -rf %s && mkdir -m 700 %s", folder, folder);
	MUST(system(command) == 0);
	deed_count = erased_to = erased_sure = 0;
}

int main(int argc, char **argv)
{
	int failures = argc > 1 ? (int)strtol(argv[1], NULL, 10) : getenv("TEST_LONG") != NULL ? 5000 : 300;
	char words[WORDS_MAX] = "";
	uint64_t first;
	int n = 0;
	bool good = true;

	log_set(getenv("TEST_LOG") ? LOG_INFO : LOG_ERROR + 1);
	power_lies = getenv("POWER_LIES") != NULL;
	seed = first = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)clock_now() * 2654435761u | 1;
	snprintf(folder, sizeof folder, "%s/mps-power-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	MUST(mkdtemp(folder) != NULL);
	printf("# %d failures, seed %llu\n", failures, (unsigned long long)first);
	fflush(stdout);
	power_on();
	for (; n < failures && good; n++) {
		start_anew(n);
		power_arm(1 + (int64_t)draw(draw(4) ? 400 : 6000));
		work();
		power_cut(draw(UINT64_MAX));
		power_arm(0);
		good = judge(words);
		power_forget();
	}
	if (good)
		printf("ok F2 power loss (%d failures, %lld transactions acknowledged)\n", n, (long long)acknowledged);
	else
		printf("not ok F2 power loss: failure %d: %s\n", n, words);
	snprintf(words, sizeof words, "rm -rf %s", folder);
	MUST(system(words) == 0);
	return !good;
}
