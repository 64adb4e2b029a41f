/*
 * Every code that the API answers, in one table.  Codes are stable: none is renamed or changes its type.
 */
#include "core/api/error.h"

#include <string.h>

#define CLIENT "client"
#define USER "end_user"
#define PLATFORM "platform"
#define SERVER "server"

static const struct { const char *type; int status; } types[] = {
	{"invalid_request", 400}, {"authentication_error", 401}, {"quota_error", 402}, {"permission_error", 403},
	{"not_found", 404}, {"method_not_allowed", 405}, {"conflict", 409}, {"precondition_failed", 412},
	{"payload_too_large", 413}, {"unsupported_media_type", 415}, {"validation_error", 422}, {"rate_limited", 429},
	{"headers_too_large", 431}, {"internal_error", 500}, {"platform_error", 502}, {"service_unavailable", 503},
};

static const struct error_code codes[] = {
	{"invalid_request", "invalid_request", CLIENT, false, NULL},
	{"invalid_json", "invalid_request", CLIENT, false,
		"Send one JSON object in UTF-8, without comments, trailing commas or duplicate keys."},
	{"request_timeout", "invalid_request", CLIENT, true, "Send the body without pauses."},
	{"unknown_field", "validation_error", CLIENT, false, "Remove the field or correct its name."},
	{"field_required", "validation_error", CLIENT, false, NULL},
	{"field_invalid", "validation_error", CLIENT, false, NULL},
	{"validation_failed", "validation_error", CLIENT, false, NULL},

	{"time_offset_missing", "validation_error", CLIENT, false, "Add an offset such as Z or +02:00, or send timezone."},
	{"time_in_past", "validation_error", CLIENT, false, "Send a time in the future, or onPast: \"publish_now\"."},
	{"time_nonexistent", "validation_error", CLIENT, false, NULL},
	{"time_ambiguous", "validation_error", CLIENT, false, "Send fold: \"earlier\" or \"later\"."},
	{"schedule_too_far", "validation_error", CLIENT, false, NULL},

	{"api_key_missing", "authentication_error", CLIENT, false, "Send the header Authorization: Bearer <key>."},
	{"api_key_invalid", "authentication_error", CLIENT, false, "Check that the whole key was copied."},
	{"api_key_revoked", "authentication_error", CLIENT, false, "Use another key of this app."},
	{"api_key_expired", "authentication_error", CLIENT, false, "Use another key of this app."},
	{"scope_missing", "permission_error", CLIENT, false, "Use a key that has the scope."},
	{"permission_denied", "permission_error", CLIENT, false, NULL},

	{"not_found", "not_found", CLIENT, false, NULL},
	{"end_user_not_found", "not_found", CLIENT, false, "Create the end user first: POST /v1/end-users."},
	{"connection_not_found", "not_found", CLIENT, false,
		"GET /v1/connections lists them; POST /v1/connect-sessions makes the link for a new one."},
	{"connect_session_not_found", "not_found", CLIENT, false, NULL},
	{"post_not_found", "not_found", CLIENT, false, NULL},
	{"delivery_not_found", "not_found", CLIENT, false, NULL},
	{"media_not_found", "not_found", CLIENT, false, "Send the file first: POST /v1/media."},
	{"operation_not_found", "not_found", CLIENT, false, NULL},
	{"platform_unknown", "validation_error", CLIENT, false, "GET /v1/platforms lists the platforms of this server."},
	{"method_not_allowed", "method_not_allowed", CLIENT, false, "Use a method of the Allow header."},

	{"connection_ambiguous", "conflict", CLIENT, false, "Name the connection: targets[].connectionId."},
	{"connection_reauth_required", "conflict", USER, false, "Let the end user reconnect: POST /v1/connections/{id}/reconnect."},
	{"connection_scope_missing", "conflict", USER, false, "Let the end user reconnect and grant the permission."},
	{"platform_not_configured", "conflict", CLIENT, false, "Set the app's provider credentials for this platform."},
	{"platform_paused", "service_unavailable", SERVER, true, NULL},
	{"redirect_url_not_allowed", "validation_error", CLIENT, false, "Add the URL to the app's redirect allowlist; it must match exactly."},
	{"connect_session_expired", "conflict", USER, false, "Make a new connect session."},
	{"connect_session_used", "conflict", USER, false, "Make a new connect session."},
	{"connect_session_canceled", "conflict", CLIENT, false, "Make a new connect session."},
	{"connect_session_completed", "conflict", CLIENT, false, NULL},
	{"connect_account_mismatch", "conflict", USER, false, "Sign in with the account that was connected before."},
	{"connect_interrupted", "conflict", USER, true, "Make a new connect session."},
	{"connect_denied", "conflict", USER, false, NULL},
	{"credential_invalid", "validation_error", CLIENT, false, NULL},
	{"credential_callback_mismatch", "validation_error", CLIENT, false,
		"Register the callbackUrl of this platform with the provider, verbatim."},

	{"text_too_long", "validation_error", CLIENT, false, NULL},
	{"text_required", "validation_error", CLIENT, false, NULL},
	{"media_required", "validation_error", CLIENT, false, NULL},
	{"media_too_many", "validation_error", CLIENT, false, NULL},
	{"media_type_unsupported", "validation_error", CLIENT, false, NULL},
	{"media_too_large", "validation_error", CLIENT, false, NULL},
	{"media_dimensions", "validation_error", CLIENT, false, NULL},
	{"media_duration", "validation_error", CLIENT, false, NULL},
	{"media_frame_rate", "validation_error", CLIENT, false, NULL},
	{"media_mixed", "validation_error", CLIENT, false, NULL},
	{"media_unreachable", "validation_error", CLIENT, true, NULL},
	{"media_unreadable", "validation_error", CLIENT, false, NULL},
	{"media_not_ready", "conflict", CLIENT, true, "Wait until GET /v1/media/{id} says ready."},
	{"media_in_use", "conflict", CLIENT, false, "Cancel the post first, or wait until it is published."},
	{"option_not_supported", "validation_error", CLIENT, false, NULL},
	{"duplicate_content", "conflict", CLIENT, false, "Change the content, or send duplicatePolicy: \"allow\"."},
	{"external_post_id_taken", "conflict", CLIENT, false, NULL},
	{"idempotency_in_progress", "conflict", CLIENT, true, "Repeat the request with the same key in a moment."},
	{"idempotency_key_reused", "conflict", CLIENT, false, "Use a new key for a new request."},
	{"post_not_editable", "conflict", CLIENT, false, NULL},
	{"post_not_cancelable", "conflict", CLIENT, false, NULL},
	{"nothing_to_retry", "conflict", CLIENT, false, NULL},
	{"delivery_not_unconfirmed", "conflict", CLIENT, false, NULL},
	{"conflict", "conflict", CLIENT, false, NULL},
	{"precondition_failed", "precondition_failed", CLIENT, false, "Read the object again and send its ETag as If-Match."},

	{"insufficient_credits", "quota_error", CLIENT, false, NULL},
	{"plan_limit_reached", "quota_error", CLIENT, false, NULL},
	{"media_quota_reached", "quota_error", CLIENT, false, "Delete media items that are no longer needed: DELETE /v1/media/{id}."},
	{"rate_limited", "rate_limited", CLIENT, true, "Wait for Retry-After seconds."},
	{"payload_too_large", "payload_too_large", CLIENT, false, NULL},
	{"headers_too_large", "headers_too_large", CLIENT, false, NULL},
	{"unsupported_media_type", "unsupported_media_type", CLIENT, false, NULL},

	{"platform_rate_limited", "platform_error", PLATFORM, true, NULL},
	{"platform_auth_failed", "platform_error", PLATFORM, false, NULL},
	{"platform_rejected", "platform_error", PLATFORM, false, NULL},
	{"platform_unavailable", "platform_error", PLATFORM, true, NULL},
	{"edit_outcome_unknown", "platform_error", PLATFORM, true,
		"Look at the post on its platform, or send the same edit once more: the second one does no harm."},

	{"storage_full", "service_unavailable", SERVER, true, NULL},
	{"storage_error", "service_unavailable", SERVER, true, "Repeat the request with the same Idempotency-Key."},
	{"storage_damaged", "service_unavailable", SERVER, true,
		"The operator stops the server, restores a backup and starts it again; then repeat the request with the same Idempotency-Key."},
	{"draining", "service_unavailable", SERVER, true, "Repeat the request with the same Idempotency-Key."},
	{"overloaded", "service_unavailable", SERVER, true,
		"Repeat the request with the same Idempotency-Key after Retry-After seconds."},
	{"unavailable", "service_unavailable", SERVER, true, NULL},
	{"internal_error", "internal_error", SERVER, true,
		"Repeat the request with the same Idempotency-Key; tell us the requestId if it stays."},
};

/* The code of a fault that was found without one. */
static const char *const defaults[] = {
	[RC_OK] = "internal_error", [RC_INVALID] = "invalid_request", [RC_UNAUTHORIZED] = "api_key_invalid",
	[RC_DENIED] = "permission_denied", [RC_NOT_FOUND] = "not_found", [RC_CONFLICT] = "conflict",
	[RC_STALE] = "precondition_failed", [RC_LIMITED] = "rate_limited", [RC_TOO_LARGE] = "payload_too_large",
	[RC_FULL] = "storage_full", [RC_UNAVAILABLE] = "unavailable", [RC_TIMEOUT] = "unavailable",
	[RC_PLATFORM] = "platform_rejected", [RC_IO] = "storage_error", [RC_CORRUPT] = "storage_error",
	[RC_NOMEM] = "internal_error", [RC_BUG] = "internal_error",
};

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

const struct error_code *error_at(int index)
{
	return index >= 0 && index < COUNT(codes) ? &codes[index] : NULL;
}

const struct error_code *error_find(const char *code)
{
	for (int i = 0; i < COUNT(codes); i++) {
		if (!strcmp(codes[i].code, code))
			return &codes[i];
	}
	return NULL;
}

const struct error_code *error_of(const struct cx *cx)
{
	const struct error_code *e = cx->code[0] ? error_find(cx->code) : NULL;

	if (!e && (int)cx->rc >= 0 && (int)cx->rc < COUNT(defaults))
		e = error_find(defaults[cx->rc]);
	return e ? e : error_find("internal_error");
}

const char *error_type_at(int index, int *ret_status)
{
	if (index < 0 || index >= COUNT(types))
		return NULL;
	*ret_status = types[index].status;
	return types[index].type;
}

int error_status(const char *type)
{
	for (int i = 0; i < COUNT(types); i++) {
		if (!strcmp(types[i].type, type))
			return types[i].status;
	}
	return 500;
}
