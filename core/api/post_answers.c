/*
 * What answers about posts hold, for the reference and the OpenAPI document.
 */
#include "core/api/post_read.h"

#define NONE FIELD_NULLABLE

static const char *const delivery_states[] = {"pending", "queued", "processing", "committing", "awaiting_platform", "awaiting_user",
	"blocked", "unconfirmed", "published", "failed", "canceled", "skipped", NULL};
static const char *const post_states[] = {"draft", "scheduled", "publishing", "published", "partially_published", "failed", "canceled",
	"missed", "needs_attention", NULL};
static const char *const kinds[] = {"post", "thread", "first_comment", NULL};
static const char *const proofs[] = {"answer", "look", "person", NULL};
static const char *const classes[] = {"safe", "keyed", "once", NULL};
static const char *const outcomes[] = {"answered", "unsent", "lost", "refused", NULL};

static const struct field attempt_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "operationId", .type = FIELD_TEXT},
	{.name = "deliveryId", .type = FIELD_TEXT},
	{.name = "number", .type = FIELD_INT},
	{.name = "phase", .type = FIELD_TEXT, .help = "The provider's step."},
	{.name = "class", .type = FIELD_ENUM, .words = classes, .help = "Whether the request may be repeated."},
	{.name = "method", .type = FIELD_TEXT},
	{.name = "endpoint", .type = FIELD_TEXT, .help = "Without the query."},
	{.name = "outcome", .type = FIELD_ENUM, .words = outcomes},
	{.name = "httpStatus", .type = FIELD_INT, .flags = NONE},
	{.name = "transportCode", .type = FIELD_INT, .help = "0: the transfer itself went well."},
	{.name = "message", .type = FIELD_TEXT, .flags = NONE},
	{.name = "responseBody", .type = FIELD_TEXT, .flags = NONE, .help = "The first 2 KiB, redacted."},
	{.name = "sentAt", .type = FIELD_TIME},
	{.name = "durationMs", .type = FIELD_INT},
	{0},
};

static const struct field proof_fields[] = {
	{.name = "kind", .type = FIELD_ENUM, .words = proofs},
	{.name = "verifiedAt", .type = FIELD_TIME},
	{0},
};

static const struct field delivery_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "postId", .type = FIELD_TEXT},
	{.name = "parentDeliveryId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "ordinal", .type = FIELD_INT},
	{.name = "kind", .type = FIELD_ENUM, .words = kinds},
	{.name = "connectionId", .type = FIELD_TEXT},
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "targetId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "livemode", .type = FIELD_BOOL},
	{.name = "text", .type = FIELD_TEXT, .flags = NONE, .help = "What is sent there."},
	{.name = "status", .type = FIELD_ENUM, .words = delivery_states},
	{.name = "statusReason", .type = FIELD_TEXT, .flags = NONE},
	{.name = "scheduledAt", .type = FIELD_TIME, .flags = NONE},
	{.name = "claimedAt", .type = FIELD_TIME, .flags = NONE},
	{.name = "deadlineAt", .type = FIELD_TIME, .flags = NONE, .help = "When it counts as overdue."},
	{.name = "publishedAt", .type = FIELD_TIME, .flags = NONE},
	{.name = "nextAttemptAt", .type = FIELD_TIME, .flags = NONE, .help = "After a failure that passes."},
	{.name = "remotePostId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "remotePostUrl", .type = FIELD_TEXT, .flags = NONE},
	{.name = "proof", .type = FIELD_OBJECT, .flags = NONE, .fields = proof_fields, .help = "How we know that it is published."},
	{.name = "attemptCount", .type = FIELD_INT},
	{.name = "error", .type = FIELD_OPEN, .flags = NONE, .help = "As the error of an answer."},
	{.name = "warnings", .type = FIELD_ARRAY},
	{.name = "credits", .type = FIELD_OPEN, .flags = NONE},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "updatedAt", .type = FIELD_TIME},
	{.name = "attempts", .type = FIELD_ARRAY, .fields = attempt_fields, .help = "Only with include=attempts."},
	{0},
};

static const struct field result_fields[] = {
	{.name = "deliveryId", .type = FIELD_TEXT},
	{.name = "done", .type = FIELD_BOOL},
	{.name = "status", .type = FIELD_TEXT},
	{0},
};

static const struct field tag_items[] = {{.name = "", .type = FIELD_TEXT}, {0}};

static const struct field post_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "status", .type = FIELD_ENUM, .words = post_states},
	{.name = "mode", .type = FIELD_TEXT},
	{.name = "livemode", .type = FIELD_BOOL},
	{.name = "externalPostId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "endUserId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "externalUserId", .type = FIELD_TEXT, .flags = NONE},
	{.name = "text", .type = FIELD_TEXT, .flags = NONE},
	{.name = "link", .type = FIELD_TEXT, .flags = NONE},
	{.name = "media", .type = FIELD_ARRAY, .flags = NONE, .help = "As asked for, with mediaId in the place of url."},
	{.name = "thread", .type = FIELD_ARRAY, .flags = NONE},
	{.name = "firstComment", .type = FIELD_OPEN, .flags = NONE},
	{.name = "scheduledAt", .type = FIELD_TIME, .flags = NONE},
	{.name = "localScheduledAt", .type = FIELD_TEXT, .flags = NONE, .help = "The same in timezone."},
	{.name = "timezone", .type = FIELD_TEXT, .flags = NONE},
	{.name = "maxLateSeconds", .type = FIELD_INT},
	{.name = "onMissed", .type = FIELD_TEXT},
	{.name = "partialPolicy", .type = FIELD_TEXT},
	{.name = "tags", .type = FIELD_ARRAY, .fields = tag_items},
	{.name = "metadata", .type = FIELD_MAP},
	{.name = "deliveries", .type = FIELD_ARRAY, .fields = delivery_fields},
	{.name = "warnings", .type = FIELD_ARRAY, .help = "Only in the answer to the call that made or changed it."},
	{.name = "credits", .type = FIELD_OPEN, .flags = NONE},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "updatedAt", .type = FIELD_TIME},
	{.name = "results", .type = FIELD_ARRAY, .fields = result_fields, .help = "Of publish, cancel and retry: one per delivery."},
	{0},
};

const struct answer post_read_post = {"Post", post_fields};
const struct answer post_read_delivery = {"Delivery", delivery_fields};
const struct answer post_read_attempt = {"Attempt", attempt_fields};
