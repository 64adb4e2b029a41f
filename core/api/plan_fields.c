/*
 * Wire names of posts: what a request may say.  Answers are described in post_read.h.
 */
#include "core/api/plan.h"

static const char *const modes[] = {"now", "schedule", "draft", NULL};
static const char *const folds[] = {"earlier", "later", NULL};
static const char *const pasts[] = {"reject", "publish_now", NULL};
static const char *const misses[] = {"publish", "skip", "hold", NULL};
static const char *const duplicates[] = {"reject", "allow", NULL};
static const char *const partials[] = {"independent", "stop_on_first_failure", NULL};

static const struct field platform_items[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 32}, {0}};
static const struct field tag_items[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 50}, {0}};

static const char *const media_types[] = {"image", "gif", "video", NULL};

#define TEXT_MAX 100000
#define MEDIA_MAX 50
#define THREAD_MAX 30
#define CLEAR FIELD_NULLABLE

static const struct field media_fields[] = {
	{.name = "mediaId", .type = FIELD_TEXT, .min = 1, .max = 64, .help = "An item of /v1/media; or give url."},
	{.name = "url", .type = FIELD_TEXT, .min = 1, .max = 2048, .help = "Copied when the post is accepted."},
	{.name = "type", .type = FIELD_ENUM, .words = media_types, .help = "What it is to be; refused if its bytes say otherwise."},
	{.name = "altText", .type = FIELD_TEXT, .flags = CLEAR, .max = 10000, .help = "For people who cannot see it; else that of the item."},
	{.name = "focus", .type = FIELD_TEXT, .flags = CLEAR, .max = 40, .help = "What must stay in sight: x,y, each from -1 to 1."},
	{.name = "title", .type = FIELD_TEXT, .flags = CLEAR, .max = 500, .help = "A title of its own, where there is one."},
	{.name = "thumbnailMediaId", .type = FIELD_TEXT, .flags = CLEAR, .min = 1, .max = 64, .help = "Its preview picture."},
	{0},
};

#define MEDIA_FIELD \
	{.name = "media", .type = FIELD_ARRAY, .flags = CLEAR, .max = MEDIA_MAX, .fields = media_fields, .help = "Images and videos."}

static const struct field thread_fields[] = {
	{.name = "text", .type = FIELD_TEXT, .flags = CLEAR, .max = TEXT_MAX, .help = "The text."},
	MEDIA_FIELD,
	{.name = "options", .type = FIELD_OPEN, .help = "As options beside it; what is not given is as for the post."},
	{0},
};

#define TIME_FIELDS \
	{.name = "scheduledAt", .type = FIELD_TIME, .flags = CLEAR, .help = "A time with an offset, or a wall time with timezone."}, \
	{.name = "timezone", .type = FIELD_TEXT, .flags = CLEAR, .min = 1, .max = 64, .help = "IANA name, as Europe/Berlin."}, \
	{.name = "fold", .type = FIELD_ENUM, .flags = CLEAR, .words = folds, .help = "Which of two equal wall times is meant."}

#define CONTENT_FIELDS \
	{.name = "text", .type = FIELD_TEXT, .flags = CLEAR, .max = TEXT_MAX, .help = "The text."}, \
	{.name = "link", .type = FIELD_TEXT, .flags = CLEAR, .min = 1, .max = 2048, .help = "A link beside the text, where there is one."}, \
	MEDIA_FIELD, \
	{.name = "firstComment", .type = FIELD_TEXT_OR_OBJECT, .flags = CLEAR, .min = 1, .max = TEXT_MAX, .fields = thread_fields, \
	 .help = "A comment below the post: its text, or an object."}, \
	{.name = "thread", .type = FIELD_ARRAY, .flags = CLEAR, .max = THREAD_MAX, .fields = thread_fields, \
	 .help = "Further posts, each an answer to the one before."}

/* Of a delivery that is published: what is not given stays as it is. */
const struct field plan_delivery_fields[] = {
	{.name = "text", .type = FIELD_TEXT, .flags = CLEAR, .max = TEXT_MAX, .help = "The text."},
	{.name = "link", .type = FIELD_TEXT, .flags = CLEAR, .min = 1, .max = 2048, .help = "A link beside the text, where there is one."},
	MEDIA_FIELD,
	{.name = "options", .type = FIELD_OPEN, .help = "Options of this platform; null takes one away."},
	{0},
};

static const struct field targets_fields[] = {
	{.name = "connectionId", .type = FIELD_TEXT, .min = 1, .max = 64, .help = "The account; or give platform."},
	{.name = "platform", .type = FIELD_TEXT, .min = 1, .max = 32, .help = "The end user's only account on this platform."},
	{.name = "targetId", .type = FIELD_TEXT, .flags = CLEAR, .min = 1, .max = 200, .help = "A board or channel of the account."},
	CONTENT_FIELDS,
	{.name = "options", .type = FIELD_OPEN, .help = "Options of this platform, see /v1/platforms/{platform}/schema."},
	TIME_FIELDS,
	{0},
};

#define COMMON_FIELDS \
	{.name = "targets", .type = FIELD_ARRAY, .min = 1, .max = 50, .fields = targets_fields, .help = "Accounts, with what differs for them."}, \
	CONTENT_FIELDS, \
	{.name = "options", .type = FIELD_OPEN, .help = "One member per platform: {\"bluesky\": {\"langs\": [\"en\"]}}."}, \
	{.name = "mode", .type = FIELD_ENUM, .words = modes, .help = "schedule when a time is given, else now."}, \
	TIME_FIELDS, \
	{.name = "onPast", .type = FIELD_ENUM, .words = pasts, .help = "What to do with a time that has passed."}, \
	{.name = "maxLateSeconds", .type = FIELD_INT, .min = 60, .max = 2592000, .help = "How late it may still be published; 6 hours."}, \
	{.name = "onMissed", .type = FIELD_ENUM, .words = misses, .help = "What happens when it would be later: publish."}, \
	{.name = "duplicatePolicy", .type = FIELD_ENUM, .words = duplicates, .help = "Refuses equal content on an account within 24 hours."}, \
	{.name = "partialPolicy", .type = FIELD_ENUM, .words = partials, .help = "What one failure means for the other accounts."}, \
	{.name = "approval", .type = FIELD_OPEN, .help = "Approval before it is published."}, \
	{.name = "tags", .type = FIELD_ARRAY, .flags = CLEAR, .max = 20, .fields = tag_items, .help = "Yours; a filter of the list."}, \
	{.name = "metadata", .type = FIELD_MAP, .flags = CLEAR, .help = "Yours; repeated in events."}, \
	{0}

const struct field plan_fields[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191, .help = "Whose accounts: your id of the end user."},
	{.name = "endUserId", .type = FIELD_TEXT, .min = 1, .max = 200, .help = "Whose accounts: our id, or ext: and yours."},
	{.name = "platforms", .type = FIELD_ARRAY, .min = 1, .max = 50, .fields = platform_items, .help = "The end user's only account on each."},
	{.name = "externalPostId", .type = FIELD_TEXT, .min = 1, .max = 191, .help = "Your id of the post; unique."},
	COMMON_FIELDS
};

const struct field plan_edit_fields[] = {COMMON_FIELDS};
