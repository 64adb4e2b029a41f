/*
 * kill -9 under load: posts of every repeat behaviour are inserted without a pause, many with a magic text that loses
 * or falsifies the answer, while the process is killed again and again, now at a random moment, now at a random pass
 * of a failpoint, and its provider hosts with it.  At the end everything rests, and
 *
 *   every post that was acknowledged is there;
 *   the far side has every post exactly as often as its row says (delivery.md, rules 2 to 6);
 *   only accounts of which the platform can tell nothing have unconfirmed posts.
 *
 * 50 rounds; 1,000 with TEST_LONG=1; the seed is printed and can be given: load [ROUNDS [SEED]].
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "tests/rig/stage.h"

#define STORE "load"
#define CLONES 5
#define CONNECTIONS (4 * (CLONES + 1))
#define ACKED_MAX 60000

static const char *const types[] = {"keyed", "handle", "search", "none"};

/* Told apart by what a row may become: rejected ones fail, all others are published or unknown. */
static const char *const magics[] = {
	"", "", "", "", "", "", "[[reset:after]]", "[[reset:before:once]]", "[[lie:503]]", "[[lie:reject]]", "[[lie:200]]", "[[fail:transient:1]]",
	"[[fail:rate_limited:once]]", "[[reject:policy]]", "[[fail:auth]]", "[[slow:300ms]]", "[[timeout]]",
};
static const char *const places[] = {"db.before_commit", "db.after_commit", "commit.run", "commit.done", "intent.committed", "send.done"};

static struct stage stage;
static char connections[CONNECTIONS][ID_MAX];
static char (*acked)[ID_MAX];
static int acked_count, told;
static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void setup(void)
{
	struct driver d;
	char json[80];

	for (int i = 0; i < 4; i++) {
		snprintf(json, sizeof json, "{\"name\":\"%s\",\"type\":\"%s\",\"refresh\":\"fixed\"}", types[i], types[i]);
		rig_control(stage.url, "/control/accounts", json);
	}
	MUST(driver_start(&d, &stage, STORE, NULL) == CAME_LINE);
	for (int i = 0; i < 4; i++) {
		driver_must(&d, "connect %s %s", types[i], types[i]);
		driver_must(&d, "clone %s %d", driver_answer(&d), CLONES);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		store_text(&stage, STORE, connections[i], ID_MAX, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i);
	driver_quit(&d);
}

/* ---- a round ----------------------------------------------------------------------------------------------- */

static void tell_post(struct driver *d)
{
	driver_tell(d, "post %s post %d %s", connections[draw(CONNECTIONS)], told++, magics[draw(sizeof magics / sizeof *magics)]);
}

/* false: it is dead. */
static bool hear(struct driver *d)
{
	if (driver_await(d, 20000) != CAME_LINE)
		return false;
	MUST(strncmp(d->line, "ok dlv", 6) == 0 && acked_count < ACKED_MAX);
	snprintf(acked[acked_count++], ID_MAX, "%s", driver_answer(d));
	return true;
}

static void crash_round(void)
{
	struct driver d;
	char fail[80] = "";
	int64_t until = clock_mono() + (int64_t)draw(400);
	bool alive, hosts = draw(4) == 0;

	if (draw(2) == 0)
		snprintf(fail, sizeof fail, "%s:%d:kill", places[draw(sizeof places / sizeof *places)], (int)draw(25) + 1);
	alive = driver_start(&d, &stage, STORE, &(struct drive){.failpoint = fail}) == CAME_LINE;
	while (alive && (clock_mono() < until || draw(8) != 0)) {
		tell_post(&d);
		alive = hear(&d);
		poll(NULL, 0, (int)draw(30));
		if (alive && hosts && draw(10) == 0)
			driver_kill_hosts(&d);
	}
	if (alive) {
		tell_post(&d);		/* the last one is on its way when the process dies: it may be there or not */
		poll(NULL, 0, (int)draw(3));
	}
	driver_kill(&d);
}

/* ---- the end ----------------------------------------------------------------------------------------------- */

static const char *verdict(void)
{
	static char words[200];
	const char *fault;

	for (int i = 0; i < acked_count; i++)
		if (store_int(&stage, STORE, "SELECT COUNT(*) FROM delivery WHERE id = %Q", acked[i]) != 1) {
			snprintf(words, sizeof words, "the acknowledged delivery %s is lost", acked[i]);
			return words;
		}
	fault = stage_judge(&stage, STORE, "post ");
	if (fault != NULL)
		return fault;
	store_text(&stage, STORE, words, sizeof words, "SELECT c.account_type || ' ' || d.state || ' ' || COALESCE(d.reason, '') || ': ' || d.text"
		   " FROM delivery d JOIN connection c ON c.id = d.connection_id WHERE d.state = 'blocked' OR CASE WHEN d.state = 'unconfirmed'"
		   " THEN c.account_type <> 'none' ELSE (d.state = 'failed') <> (instr(d.text, 'reject:policy') > 0) END");
	if (words[0] != '\0')
		return words;
	return store_sound(&stage, STORE) ? NULL : "the store is damaged";
}

static const char *finish(void)
{
	struct driver d;

	poll(NULL, 0, 500);		/* what the sandbox commits late is real time */
	stage_settled(&stage);
	if (driver_start(&d, &stage, STORE, NULL) != CAME_LINE)
		return "the last start fails";
	driver_must(&d, "reload");	/* hosts that were killed too often had paused the provider */
	driver_must(&d, "rest 55000");
	driver_kill(&d);
	return verdict();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : getenv("TEST_LONG") != NULL ? 1000 : 50;
	const char *fault;

	stage_open(&stage);
	seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)clock_now() * 2654435761u + 1;
	printf("# %d rounds, seed %llu\n", rounds, (unsigned long long)seed);
	fflush(stdout);
	acked = calloc(ACKED_MAX, sizeof *acked);
	MUST(acked != NULL && seed != 0);
	setup();
	for (int i = 0; i < rounds; i++)
		crash_round();
	fault = finish();
	if (fault == NULL)
		printf("ok kill -9 under load (%d rounds, %d posts acknowledged)\n", rounds, acked_count);
	else
		printf("not ok kill -9 under load: %s\n", fault);
	stage_close(&stage);
	return fault != NULL;
}
