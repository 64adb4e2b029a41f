/*
 * /healthz says that the process answers, /readyz that it can do its work, /metrics what it counted.
 *
 * None of them asks for a key and none tells anything about an organization; the proxy keeps /metrics inside.
 */
#include "core/api/health.h"

#include <inttypes.h>

#include "core/api/api.h"
#include "core/api/routes.h"
#include "core/base/clock.h"

#define WAITING_MAX 500

static const struct { const char *name, *label, *help; } table[METRIC_COUNT] = {
	[METRIC_2XX] = {"mypostshare_http_requests_total", "{class=\"2xx\"}", "Requests by class of status"},
	[METRIC_3XX] = {"mypostshare_http_requests_total", "{class=\"3xx\"}", NULL},
	[METRIC_4XX] = {"mypostshare_http_requests_total", "{class=\"4xx\"}", NULL},
	[METRIC_5XX] = {"mypostshare_http_requests_total", "{class=\"5xx\"}", NULL},
	[METRIC_LIMITED] = {"mypostshare_http_rate_limited_total", "", "Requests refused by a rate limit"},
	[METRIC_REPLAYED] = {"mypostshare_http_replayed_total", "", "Answers replayed for an Idempotency-Key"},
	[METRIC_UNAUTHORIZED] = {"mypostshare_http_unauthorized_total", "", "Requests without a valid key"},
	[METRIC_OVERLOADED] = {"mypostshare_http_overloaded_total", "", "Requests refused because too much waited"},
};

static _Atomic uint64_t counts[METRIC_COUNT];

void metric_add(enum metric m)
{
	counts[m]++;
}

void metric_status(int status)
{
	if (status >= 200 && status < 600)
		metric_add((enum metric)(METRIC_2XX + status / 100 - 2));
}

static enum rc healthz(struct api_request *r)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "status", "ok");
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc readyz(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = NULL;
	int waiting = db_waiting(r->api->db);

	if (db_rescue(r->api->db))
		return fail_code(r->cx, RC_CORRUPT, "storage_damaged", NULL, "the store is damaged: restore a backup");
	c = db_take(r->api->db);
	if (db_number(c, 0, "SELECT 1", "") != 1)
		return db_fail(r->cx, c);
	if (waiting > WAITING_MAX)
		return fail_code(r->cx, RC_UNAVAILABLE, "overloaded", NULL, "%d writes are waiting.", waiting);
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "status", "ready");
	jsonw_int(r->w, "waitingWrites", waiting);
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc metrics(struct api_request *r)
{
	struct buf *out = r->answer->body;

	for (int i = 0; i < METRIC_COUNT; i++) {
		if (table[i].help)
			buf_addf(out, "# HELP %s %s\n# TYPE %s counter\n", table[i].name, table[i].help, table[i].name);
		buf_addf(out, "%s%s %" PRIu64 "\n", table[i].name, table[i].label, (uint64_t)counts[i]);
	}
	buf_addf(out, "# HELP mypostshare_db_waiting Write jobs that wait for the writer\n# TYPE mypostshare_db_waiting gauge\n"
		"mypostshare_db_waiting %d\n", db_waiting(r->api->db));
	buf_addf(out, "# HELP mypostshare_db_rescue 1 while the store is damaged and only read\n# TYPE mypostshare_db_rescue gauge\n"
		"mypostshare_db_rescue %d\n", db_rescue(r->api->db));
	buf_addf(out, "# HELP mypostshare_http_polls Long polls under way\n# TYPE mypostshare_http_polls gauge\n"
		"mypostshare_http_polls %d\n", (int)r->api->polls);
	buf_addf(out, "# HELP mypostshare_uptime_seconds Seconds since start\n# TYPE mypostshare_uptime_seconds gauge\n"
		"mypostshare_uptime_seconds %" PRId64 "\n", (clock_mono() - r->api->started_at) / 1000);
	if (r->api->metrics)
		r->api->metrics(r->api->engine, out);
	if (r->api->server_metrics)
		r->api->server_metrics(r->api->server, out);
	r->answer->type = "text/plain; version=0.0.4; charset=utf-8";
	return RC_OK;
}

static const struct field health_fields[] = {
	{.name = "status", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .help = "ok or ready."},
	{.name = "waitingWrites", .type = FIELD_INT, .help = "Writes that wait for the writer."},
	{0},
};
static const struct answer health_answer = {"Health", health_fields};

const struct route health_routes[] = {
	{.method = "GET", .pattern = "/healthz", .flags = ROUTE_NO_AUTH, .handle = healthz, .operation = "getHealth",
	 .summary = "Whether the process answers", .answer = &health_answer},
	{.method = "GET", .pattern = "/readyz", .flags = ROUTE_NO_AUTH, .handle = readyz, .operation = "getReadiness",
	 .summary = "Whether the server can do its work", .answer = &health_answer},
	{.method = "GET", .pattern = "/metrics", .flags = ROUTE_NO_AUTH | ROUTE_HIDDEN, .handle = metrics, .operation = "getMetrics",
	 .summary = "Counters in the text format of Prometheus"},
	{0},
};
