/* The virtual platform: see platform.h.  Answers are lines "key value", but for tokens, which the core reads as JSON. */
#include "tests/sim/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

#define POSTS_MAX 128
#define PENDING_MAX 128
#define CONTAINERS 256

struct post_there { int delivery, account; int64_t at, seen_at; char key[80], text[32]; };
struct container { int delivery, account; char key[80], text[32]; int64_t ready_at; bool broken, busy; int post; };
/* What becomes a post, or not, later. */
struct pending { bool used, job, person, refused, unasked; int account, container, post; int64_t at; char key[80], text[32]; };
struct tokens { int newest, used; int64_t made_at; bool revoked, ever_revoked, doubtful; int sent; };

static struct there {
	struct post_there posts[POSTS_MAX];
	int post_count;
	struct container containers[CONTAINERS];
	int container_count;
	struct pending pending[PENDING_MAX];
	struct tokens tokens[ACCOUNTS];
	bool stale[DELIVERIES];		/* one read in its life may be old */
} there;

void platform_reset(void)
{
	memset(&there, 0, sizeof there);
}

/* ---- words of a request ------------------------------------------------------------------------------------ */

/* "dN" at the front of a text names the delivery; the platform does not know that, the oracle does. */
static int delivery_of(const char *text)
{
	return text[0] == 'd' ? (int)strtol(text + 1, NULL, 10) : -1;
}

static void word(const char *body, const char *key, char *out, size_t size)
{
	const char *at = body;
	size_t n = strlen(key);

	out[0] = '\0';
	for (; at != NULL && *at != '\0'; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, key, n) == 0 && at[n] == ' ')
			snprintf(out, size, "%.*s", (int)strcspn(at + n + 1, "\n"), at + n + 1);
}

/* ---- posts -------------------------------------------------------------------------------------------------- */

static int by_key(int account, const char *key)
{
	for (int i = there.post_count - 1; i >= 0; i--)		/* the newest counts */
		if (there.posts[i].account == account && text_eq(there.posts[i].key, key))
			return i;
	return -1;
}

static bool key_holds(int post)
{
	return post >= 0 && (sim.plan.window == 0 || sim.now < there.posts[post].at + sim.plan.window);
}

static int add_post(int account, const char *key, const char *text)
{
	struct post_there *p = &there.posts[there.post_count];

	if (there.post_count == POSTS_MAX)
		abort();
	*p = (struct post_there){.delivery = delivery_of(text), .account = account, .at = sim.now};
	p->seen_at = sim.now + sim_below(sim.plan.lag + 1);
	snprintf(p->key, sizeof p->key, "%s", key);
	snprintf(p->text, sizeof p->text, "%s", text);
	sim_note("platform: post x%d is live: %s", there.post_count, text);
	return there.post_count++;
}

/* Creates it, unless the platform takes keys and knows this one. */
static int create(int account, const char *key, const char *text)
{
	int known = sim.accounts[account].type == TYPE_KEYED ? by_key(account, key) : -1;

	return key_holds(known) ? known : add_post(account, key, text);
}

static struct pending *pend(int account, const char *key, const char *text, int container, int64_t at)
{
	struct pending *p = there.pending;

	while (p < there.pending + PENDING_MAX && p->used)
		p++;
	if (p == there.pending + PENDING_MAX)
		abort();
	*p = (struct pending){.used = true, .account = account, .container = container, .post = -1, .at = at};
	snprintf(p->key, sizeof p->key, "%s", key);
	snprintf(p->text, sizeof p->text, "%s", text);
	return p;
}

static void come_true(struct pending *p)
{
	if (!p->refused)
		p->post = p->unasked ? add_post(p->account, p->key, p->text) : create(p->account, p->key, p->text);
	if (p->container >= 0) {
		there.containers[p->container].busy = false;
		if (!p->refused)
			there.containers[p->container].post = p->post;
		there.containers[p->container].broken = p->refused;
	}
	p->at = NEVER;
	p->used = p->job;
	check_all();
}

int64_t platform_next(void)
{
	int64_t next = NEVER;

	for (int i = 0; i < PENDING_MAX; i++)
		if (there.pending[i].used && there.pending[i].at < next)
			next = there.pending[i].at;
	return next;
}

void platform_turn(void)
{
	for (int i = 0; i < PENDING_MAX; i++)
		if (there.pending[i].used && there.pending[i].at <= sim.now)
			come_true(&there.pending[i]);
}

/* ---- what the oracle tells ------------------------------------------------------------------------------------ */

int platform_live(int delivery)
{
	int n = 0;

	for (int i = 0; i < there.post_count; i++)
		n += there.posts[i].delivery == delivery;
	return n;
}

const char *platform_post_id(int delivery)
{
	static char id[16];

	for (int i = 0; i < there.post_count; i++)
		if (there.posts[i].delivery == delivery) {
			snprintf(id, sizeof id, "x%d", i);
			return id;
		}
	return NULL;
}

const char *platform_post_text(int delivery)
{
	for (int i = 0; i < there.post_count; i++)
		if (there.posts[i].delivery == delivery)
			return there.posts[i].text;
	return NULL;
}

bool platform_pending(int delivery)
{
	for (int i = 0; i < PENDING_MAX; i++)
		if (there.pending[i].used && there.pending[i].at != NEVER && delivery_of(there.pending[i].text) == delivery)
			return true;
	return false;
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

int platform_account_of(const char *token)
{
	const char *space = strrchr(token, ' '), *at = space ? space + 1 : token;

	return (*at == 'a' || *at == 'r') && at[1] >= '0' && at[1] < '0' + ACCOUNTS && at[2] == '.' ? at[1] - '0' : -1;
}

const char *platform_token(int account)
{
	static char pair[64];
	struct tokens *t = &there.tokens[account];

	if (t->newest++ == 0)
		t->used = 1;		/* the account comes with a pair that works */
	t->made_at = sim.now;
	snprintf(pair, sizeof pair, "a%d.%d r%d.%d", account, t->newest, account, t->newest);
	return pair;
}

void platform_sent_refresh(int account)
{
	struct tokens *t = account >= 0 ? &there.tokens[account] : NULL;

	if (t != NULL && ++t->sent >= 2)
		t->doubtful = true;
}

/* Revoked by the person, or two refreshes in a row whose answers nobody used. */
bool platform_may_be_dead(int account)
{
	return there.tokens[account].ever_revoked || there.tokens[account].doubtful;
}

static int version_of(const char *token)
{
	const char *dot = strchr(token, '.');

	return dot ? (int)strtol(dot + 1, NULL, 10) : 0;
}

static bool expired(const struct tokens *t)
{
	return sim.plan.token_life > 0 && sim.now > t->made_at + sim.plan.token_life;
}

static void say(struct answer_out *out, long status, const char *words)
{
	out->status = status;
	buf_reset(&out->body);
	buf_adds(&out->body, words);
}

static void pair_answer(int account, struct answer_out *out)
{
	const char *pair = platform_token(account);
	char words[200];
	int n = (int)strcspn(pair, " ");

	if (sim.plan.token_life > 0)
		snprintf(words, sizeof words, "{\"access_token\":\"%.*s\",\"refresh_token\":\"%s\",\"expires_in\":%lld}", n, pair, pair + n + 1,
			 (long long)(sim.plan.token_life / SECOND));
	else
		snprintf(words, sizeof words, "{\"access_token\":\"%.*s\",\"refresh_token\":\"%s\"}", n, pair, pair + n + 1);
	say(out, 200, words);
}

/* Refresh tokens rotate; an old one is taken as long as nothing newer was used. */
static void token_request(const struct request_in *in, struct answer_out *out)
{
	int account = platform_account_of(in->body), version = version_of(in->body);
	struct tokens *t = &there.tokens[account];

	if (text_starts(in->body, "code")) {	/* what an earlier authorization gave is over */
		*t = (struct tokens){.newest = t->newest, .used = t->newest, .ever_revoked = t->ever_revoked, .doubtful = true};
		pair_answer(account, out);
	} else if (t->revoked || version < t->used) {
		say(out, 400, "{\"error\":\"invalid_grant\"}");
	} else {
		pair_answer(account, out);
	}
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

struct call { const struct request_in *in; struct answer_out *out; int account; char text[32], key[80]; int container; };

static bool happens(enum fault f)
{
	return !sim.calm && sim_chance(sim.plan.fault[f]);
}

/* Whatever is refused here was not begun. */
static bool refused(struct call *c, bool risky)
{
	struct tokens *t = &there.tokens[c->account];

	if (happens(FAULT_REVOKE))
		t->revoked = t->ever_revoked = true;
	if (t->revoked)
		say(c->out, 403, "code revoked\n");
	else if (version_of(c->in->token) != t->newest || expired(t) || happens(FAULT_AUTH))
		say(c->out, 401, "code expired\n");
	else if (happens(FAULT_LIMIT))
		c->out->retry_after = sim_below(120), say(c->out, 429, "code limit\n");
	else if (risky && happens(FAULT_REJECT))
		say(c->out, 400, "code policy\n");
	else if (happens(FAULT_500))
		say(c->out, 503, "code down\n");
	else
		return false;
	return true;
}

static int64_t late_by(const struct call *c)
{
	return c->in->left_at + sim_below(sim.plan.settle + 1);
}

static void said_post(struct call *c, int post)
{
	char words[64];

	snprintf(words, sizeof words, "id x%d\n", post);
	say(c->out, 200, words);
	if (c->container >= 0)
		there.containers[c->container].post = post;
}

/* Accepted, decided later.  Where only time can tell, the settle time tells. */
static void accept(struct call *c, bool person)
{
	bool patient = sim.accounts[c->account].type == TYPE_HANDLE;
	int64_t at = patient ? sim.now + sim_delay(person ? 3 * DAY : 2 * HOUR) : late_by(c);
	struct pending *p = pend(c->account, c->key, c->text, c->container, at);
	char words[64];

	p->job = true;
	p->person = person;
	p->refused = sim_chance(15);
	if (c->container >= 0)
		there.containers[c->container].busy = true;
	snprintf(words, sizeof words, "job %d\n%s", (int)(p - there.pending), person ? "person 1\n" : "");
	say(c->out, 202, words);
}

/* The one request that matters. */
static void irreversible(struct call *c)
{
	bool keyed = sim.accounts[c->account].type == TYPE_KEYED, known = keyed && key_holds(by_key(c->account, c->key));

	if (happens(FAULT_LOST)) {
		c->out->lost = true;
	} else if (happens(FAULT_LATE) || happens(FAULT_LATE_500)) {
		/* the key is asked for when the request comes; whether it is asked for again with the post, the platform's make tells */
		pend(c->account, c->key, c->text, c->container, late_by(c))->unasked = keyed && !known && !sim.plan.atomic;
		c->out->lost = sim_chance(50);
		say(c->out, 504, "code slow\n");
	} else if (!known && happens(FAULT_ASYNC)) {
		accept(c, false);
	} else if (happens(FAULT_INBOX) && sim.accounts[c->account].type == TYPE_HANDLE) {
		accept(c, true);
	} else {
		said_post(c, create(c->account, c->key, c->text));
		if (happens(FAULT_LOST_AFTER))
			c->out->lost = true;
		else if (happens(FAULT_500_AFTER))
			say(c->out, 500, "code oops\n");
		else if (happens(FAULT_LIE))
			say(c->out, 400, "code blocked\n");
		else if (happens(FAULT_NO_ID))
			say(c->out, 200, "strange 1\n");
		check_all();
	}
}

/* A key under which something was accepted: the same request again is told the same. */
static struct pending *being_decided(const char *key)
{
	for (struct pending *p = there.pending; p < there.pending + PENDING_MAX; p++)
		if (p->used && !p->unasked && (p->at != NEVER || p->refused) && text_eq(p->key, key))
			return p;
	return NULL;
}

/* A part of a thread answers to the part before it, a comment to its post, and nothing else to anything. */
static void check_parent(const struct call *c, int delivery)
{
	char given[32];
	int parent = delivery >= 0 && delivery < sim.delivery_count ? sim.deliveries[delivery].parent : -1;
	const char *wanted = parent >= 0 ? platform_post_id(parent) : "";

	word(c->in->body, "parent", given, sizeof given);
	if (wanted == NULL)
		sim_violation("delivery %d is sent before its parent %d is live", delivery, parent);
	else if (!text_eq(given, wanted))
		sim_violation("delivery %d is sent below \"%s\", not below \"%s\"", delivery, given, wanted);
}

static void post_create(struct call *c)
{
	struct pending *p;

	word(c->in->body, "text", c->text, sizeof c->text);
	word(c->in->body, "marker", c->key, sizeof c->key);
	check_parent(c, delivery_of(c->text));
	p = sim.accounts[c->account].type == TYPE_KEYED ? being_decided(c->key) : NULL;
	if (p != NULL && !key_holds(by_key(c->account, c->key))) {
		char words[32];

		p->job = true;
		snprintf(words, sizeof words, "job %d\n", (int)(p - there.pending));
		say(c->out, 202, words);
		return;
	}
	if (sim.accounts[c->account].type == TYPE_KEYED && !text_eq(c->in->key, c->key))
		sim_violation("a keyed request without its key: %s", c->text);
	irreversible(c);
}

static void container_create(struct call *c)
{
	struct container *k = &there.containers[there.container_count];
	char words[32];

	if (there.container_count == CONTAINERS)
		abort();
	*k = (struct container){.account = c->account, .ready_at = sim.now + sim_delay(MINUTE), .broken = happens(FAULT_REJECT), .post = -1};
	word(c->in->body, "text", k->text, sizeof k->text);
	word(c->in->body, "marker", k->key, sizeof k->key);
	k->delivery = delivery_of(k->text);
	check_parent(c, k->delivery);
	snprintf(words, sizeof words, "id %d\n", there.container_count++);
	say(c->out, 200, words);
}

static void container_publish(struct call *c)
{
	struct container *k = &there.containers[c->container];

	snprintf(c->text, sizeof c->text, "%s", k->text);
	snprintf(c->key, sizeof c->key, "%s", k->key);
	if ((k->post >= 0 || k->busy) && sim.plan.container_once)
		say(c->out, 409, "code already\n");
	else
		irreversible(c);
}

static bool stale(int delivery)
{
	if (delivery < 0 || there.stale[delivery] || !happens(FAULT_STALE))
		return false;
	there.stale[delivery] = true;
	sim_note("platform: an old replica answers");
	return true;
}

static void container_read(struct call *c)
{
	const struct container *k = &there.containers[c->container];
	char words[64] = "status ready\n";

	if (k->post >= 0 && !stale(k->delivery))
		snprintf(words, sizeof words, "status published\npost x%d\n", k->post);
	else if (k->busy)
		snprintf(words, sizeof words, "status busy\n");
	else if (k->broken)
		snprintf(words, sizeof words, "status error\n");
	else if (sim.now < k->ready_at)
		snprintf(words, sizeof words, "status working\n");
	say(c->out, 200, words);
}

/* By time, as the platform's clock has it. */
static void list(struct call *c, const char *marker)
{
	int64_t since = strtoll(c->in->path + strlen("/list/"), NULL, 10);
	char words[32] = "none 1\n";

	for (int i = 0; i < there.post_count; i++)
		if (there.posts[i].account == c->account && text_eq(there.posts[i].key, marker) && there.posts[i].seen_at <= sim.now &&
		    there.posts[i].at + sim.plan.skew >= since && !stale(there.posts[i].delivery))
			snprintf(words, sizeof words, "id x%d\n", i);
	say(c->out, 200, words);
}

static void job_read(struct call *c, int job)
{
	const struct pending *p = &there.pending[job];
	char words[32] = "status pending\n";

	if (p->at == NEVER && p->refused)
		snprintf(words, sizeof words, "status refused\n");
	else if (p->at == NEVER)
		snprintf(words, sizeof words, "status done\nid x%d\n", p->post);
	say(c->out, 200, words);
}

static const char *const type_names[TYPES] = {"keyed", "handle", "search", "none"};

static void said_me(struct call *c)
{
	char words[64];

	snprintf(words, sizeof words, "id account%d\ntype %s\n", c->account, type_names[sim.accounts[c->account].type]);
	say(c->out, 200, words);
}

static void revoke(struct call *c)
{
	there.tokens[c->account].revoked = there.tokens[c->account].ever_revoked = true;
	say(c->out, 200, "revoked 1\n");
}

/* ---- the table of requests ------------------------------------------------------------------------------------ */

static void route(struct call *c)
{
	const char *path = c->in->path, *last = strrchr(path, '/') + 1;
	bool post = text_eq(c->in->method, "POST"), publish = text_starts(path, "/publish/");

	if (text_starts(path, "/container/") || publish)
		c->container = (int)strtol(last, NULL, 10);
	if (refused(c, post))
		return;
	if (publish)
		container_publish(c);
	else if (text_eq(path, "/containers"))
		container_create(c);
	else if (text_eq(path, "/posts") && post)
		post_create(c);
	else if (text_starts(path, "/container/"))
		container_read(c);
	else if (text_starts(path, "/list/"))
		list(c, last);
	else if (text_starts(path, "/job/"))
		job_read(c, (int)strtol(last, NULL, 10));
	else if (text_starts(path, "/revoke/"))
		revoke(c);
	else
		said_me(c);
	if (!post && happens(FAULT_LOST_AFTER))
		c->out->lost = true;
}

void platform_request(const struct request_in *in, struct answer_out *out)
{
	struct call c = {.in = in, .out = out, .account = platform_account_of(in->token), .container = -1};
	struct tokens *t;

	if (text_eq(in->path, "/token")) {
		if (happens(FAULT_LOST)) {
			out->lost = true;
			return;
		}
		if (happens(FAULT_500))
			say(out, 503, "{}");
		else
			token_request(in, out);
		out->lost = happens(FAULT_LOST_AFTER);
		return;
	}
	if (c.account < 0) {
		sim_violation("a request without a token: %s %s", in->method, in->path);
		return;
	}
	t = &there.tokens[c.account];
	if (version_of(in->token) == t->newest && t->newest > t->used) {
		t->used = t->newest;
		t->sent = 0;
	}
	route(&c);
}
