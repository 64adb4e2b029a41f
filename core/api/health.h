/*
 * Counters of the API for /metrics.  Add a line to the table in health.c for a new one.
 */
#ifndef MPS_API_HEALTH_H
#define MPS_API_HEALTH_H

enum metric {
	METRIC_2XX, METRIC_3XX, METRIC_4XX, METRIC_5XX,	/* in this order: metric_status counts on it */
	METRIC_LIMITED, METRIC_REPLAYED, METRIC_UNAUTHORIZED, METRIC_OVERLOADED, METRIC_COUNT
};

void metric_add(enum metric m);
void metric_status(int status);

#endif
