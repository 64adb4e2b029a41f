/*
 * Bluesky: what a text holds.  Links, tags and mentions are named by byte offsets, because the server finds none.
 *
 * The rules are those of the official app, taken with care: what it would not make a link stays text here, too.  A name
 * without https:// is a link only under a top-level domain of the list below, in which words of a sentence and file
 * endings are left out: "see.it" and "main.rs" are no addresses.  A mention needs the DID behind the handle, which is
 * asked for before the record is written; one that nobody has stays text, and the delivery carries a warning.
 */
#define MENTIONS_MAX 20
#define HANDLE_MAX 253

enum piece_kind { PIECE_NONE, PIECE_LINK, PIECE_DOMAIN, PIECE_TAG, PIECE_MENTION };

struct piece {
	const char *text;
	size_t at, length;
	enum piece_kind kind;
};

static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static int is_name(char c) { return is_letter(c) || is_digit(c) || c == '-'; }
static char lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

/* The first n bytes of text as a text. */
static const char *part(mps_op *op, const char *text, size_t n)
{
	char *copy = mps_alloc(op, (uint32_t)n + 1);

	if (!copy)
		return "";
	memcpy(copy, text, n);
	return copy;
}

static const char *lowered(mps_op *op, const char *text, size_t n)
{
	char *copy = mps_alloc(op, (uint32_t)n + 1);

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = lower(text[i]);
	return copy ? copy : "";
}

/* Whether s begins with a word that is written in lower case, however s writes it: telephones write "Https://". */
static int begins(const char *s, const char *word)
{
	while (*word && lower(*s) == *word)
		s++, word++;
	return !*word;
}

/* Bytes of the white space at s, that of other scripts included; 0 if there is none. */
static size_t space_length(const char *s)
{
	if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		return 1;
	if (strncmp(s, "\xc2\xa0", 2) == 0)
		return 2;
	if (strncmp(s, "\xe2\x80", 2) == 0 && (unsigned char)s[2] >= 0x80 && (unsigned char)s[2] <= 0x8b)
		return 3;
	return strncmp(s, "\xe3\x80\x80", 3) == 0 ? 3 : 0;
}

/* Whether a tag ends at s: white space or punctuation, of ASCII and of other scripts. */
static int ends_tag(const char *s)
{
	static const char *const marks[] = {
		"\xc2\xa1", "\xc2\xab", "\xc2\xb7", "\xc2\xbb", "\xc2\xbf",		/* of Latin */
		"\xe3\x80\x81", "\xe3\x80\x82", "\xe3\x80\x8c", "\xe3\x80\x8d", "\xe3\x80\x8e", "\xe3\x80\x8f",
		"\xef\xbc\x81", "\xef\xbc\x88", "\xef\xbc\x89", "\xef\xbc\x8c", "\xef\xbc\x9a", "\xef\xbc\x9b", "\xef\xbc\x9f", NULL
	};

	if (space_length(s) || strchr(".,;:!?'\"()[]{}<>#/\\@&*+=|~^`$%", *s) || strncmp(s, "\xe2\x80", 2) == 0)
		return 1;	/* E2 80 is the block of general punctuation */
	for (size_t i = 0; marks[i]; i++)
		if (strncmp(s, marks[i], strlen(marks[i])) == 0)
			return 1;
	return 0;
}

/* Without the punctuation that ends a sentence, and without a bracket that was opened before the link. */
static size_t link_trim(const char *s, size_t n, size_t least)
{
	int open = 0;

	for (size_t i = 0; i < n; i++)
		open += s[i] == '(' ? 1 : s[i] == ')' ? -1 : 0;
	while (n > least && (strchr(".,;:!?'\"", s[n - 1]) || (s[n - 1] == ')' && open < 0)))
		open += s[--n] == ')';
	return n;
}

static size_t link_end(const char *s, size_t n)
{
	while (s[n] && !space_length(s + n) && !strchr("<>\"", s[n]))
		n++;
	return n;
}

/* Length of the web address at s; 0 if there is none. */
static size_t link_length(const char *s)
{
	size_t start = begins(s, "https://") ? 8 : begins(s, "http://") ? 7 : 0;
	size_t n = start ? link_trim(s, link_end(s, start), start) : 0;

	return n > start ? n : 0;
}

static int tld_known(const char *s, size_t n)
{
	static const char list[] = " com net org edu gov io app dev social me info biz eu de uk ca fr es nl ch se fi dk pl pt ie cz jp kr br au "
		"nz mx ar co ai gg tv fm xyz blog news online site store shop cloud page link wiki studio design art club live network "
		"world space tech museum foundation agency media ";
	char word[16] = " ";

	if (n > sizeof word - 3)
		return 0;
	for (size_t i = 0; i < n; i++)
		word[i + 1] = lower(s[i]);
	word[n + 1] = ' ';
	return strstr(list, word) != NULL;
}

/* Length of the address without https:// at s: letters and digits in labels, the last of them known. */
static size_t domain_length(const char *s)
{
	size_t n = 0, label = 0, labels = 0;

	if (!is_letter(*s))
		return 0;
	for (;; n++) {
		if (is_letter(s[n]) || is_digit(s[n]))
			continue;
		if (s[n] != '.' || n == label || !(is_letter(s[n + 1]) || is_digit(s[n + 1])))
			break;
		label = n + 1;
		labels++;
	}
	if (!labels || !tld_known(s + label, n - label))
		return 0;
	if (s[n] && strchr("/?#", s[n]))
		return link_trim(s, link_end(s, n), n);
	return !s[n] || space_length(s + n) || strchr(".,;:!?'\")", s[n]) ? n : 0;
}

/* Length of the hashtag at s with its sign; 0 if there is none.  It does not begin with a digit. */
static size_t tag_length(const char *s)
{
	size_t n = 1;

	if (*s != '#' || is_digit(s[1]) || s[1] == '_' || s[1] == '-')
		return 0;
	while (s[n] && !ends_tag(s + n))
		n++;
	return n > 1 && n <= 641 ? n : 0;
}

/* Length of the handle at s: labels of letters, digits and inner hyphens, at least two, the last led by a letter. */
static size_t handle_length(const char *s)
{
	size_t n = 0, label = 0, labels = 1, end = 0;

	for (;; n++) {
		if (is_name(s[n]) && !(s[n] == '-' && n == label) && n - label < 63)
			continue;
		if (n == label || s[n - 1] == '-')
			break;
		if (labels > 1 && is_letter(s[label]))
			end = n;
		if (s[n] != '.')
			break;
		label = n + 1;
		labels++;
	}
	return end <= HANDLE_MAX ? end : 0;
}

/* Length of the mention at s with its sign; 0 if there is none. */
static size_t mention_length(const char *s)
{
	size_t n = *s == '@' ? handle_length(s + 1) : 0;

	return n && s[n + 1] != '@' && s[n + 1] != '_' && !is_name(s[n + 1]) ? n + 1 : 0;
}

static size_t piece_here(const char *s, enum piece_kind *ret_kind)
{
	static size_t (*const lengths[])(const char *) = { link_length, tag_length, mention_length, domain_length };
	static const enum piece_kind kinds[] = { PIECE_LINK, PIECE_TAG, PIECE_MENTION, PIECE_DOMAIN };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		size_t n = lengths[i](s);

		*ret_kind = kinds[i];
		if (n)
			return n;
	}
	return 0;
}

/* The next piece after the one in *p (all zero but the text: the first); false at the end. */
static int piece_next(struct piece *p)
{
	int start = p->kind == PIECE_NONE;

	p->at += p->length;
	for (; p->text[p->at]; p->at++) {
		size_t space = space_length(p->text + p->at);

		if (start && (p->length = piece_here(p->text + p->at, &p->kind)) != 0)
			return 1;
		start = space || p->text[p->at] == '(';
		p->at += space ? space - 1 : 0;
	}
	return 0;
}

/* --- mentions --------------------------------------------------------------------------------------------------- */

static const char *mention_key(mps_op *op, int n) { return mps_at(op, "did.", n, ""); }

/* The first mention whose DID has not been asked for; its number, or -1 if there is none. */
static int mention_open(mps_op *op, const char *text, struct piece *p)
{
	int n = 0;

	*p = (struct piece){ .text = text };
	while (n < MENTIONS_MAX && piece_next(p))
		if (p->kind == PIECE_MENTION && !*mps_get(op, mention_key(op, n++)))
			return n - 1;
	return -1;
}

/* What nobody has is "-": the mention stays text. */
static void mention_keep(mps_op *op, const char *text, const char *did)
{
	struct piece p;
	int n = mention_open(op, text, &p);

	if (n >= 0)
		mps_set(op, mention_key(op, n), strncmp(did, "did:", 4) == 0 ? did : "-");
}

/* Said when the post is there, out of what was kept: an operation may have been interrupted in between. */
static void mention_warnings(mps_op *op, const char *text)
{
	struct piece p = { .text = text };
	int n = 0, more = 0;

	while (piece_next(&p)) {
		const char *words = p.kind == PIECE_MENTION ? part(op, text + p.at, p.length) : "";

		if (p.kind != PIECE_MENTION)
			continue;
		if (n >= MENTIONS_MAX)
			more = 1;
		else if (mps_is(mps_get(op, mention_key(op, n)), "-"))
			mps_warn(op, "mention_unresolved", mps_concat(op, words, " is nobody's handle and stays plain text"));
		n++;
	}
	if (more)
		mps_warn(op, "mentions_too_many", "only the first 20 mentions became links to accounts");
}

/* --- facets ------------------------------------------------------------------------------------------------------ */

static void facet(mps_op *op, mps_req *r, const struct piece *p, const char *did)
{
	int sign = p->kind == PIECE_TAG;
	const char *words = part(op, p->text + p->at + sign, p->length - (size_t)sign);

	if (p->kind == PIECE_DOMAIN)
		words = mps_concat(op, "https://", words);
	mps_json_object(r, "");
	mps_json_object(r, "index");
	mps_json_int(r, "byteStart", (int64_t)p->at);
	mps_json_int(r, "byteEnd", (int64_t)(p->at + p->length));
	mps_json_close(r);
	mps_json_array(r, "features");
	mps_json_object(r, "");
	if (p->kind == PIECE_MENTION) {
		mps_json_text(r, "$type", "app.bsky.richtext.facet#mention");
		mps_json_text(r, "did", did);
	} else {
		mps_json_text(r, "$type", sign ? "app.bsky.richtext.facet#tag" : "app.bsky.richtext.facet#link");
		mps_json_text(r, sign ? "tag" : "uri", words);
	}
	mps_json_close(r);
	mps_json_close(r);
	mps_json_close(r);
}

static void facets(mps_op *op, mps_req *r, const char *text)
{
	struct piece p = { .text = text };
	int mentions = 0;

	mps_json_array(r, "facets");
	while (piece_next(&p)) {
		const char *did = "";

		if (p.kind == PIECE_TAG && mps_graphemes(part(op, text + p.at + 1, p.length - 1)) > 64)
			continue;
		if (p.kind == PIECE_MENTION && mentions < MENTIONS_MAX)
			did = mps_get(op, mention_key(op, mentions++));
		if (p.kind != PIECE_MENTION || strncmp(did, "did:", 4) == 0)
			facet(op, r, &p, did);
	}
	mps_json_close(r);
}
