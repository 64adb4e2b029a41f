/*
 * Whether a status that an instance shows is the text that we sent: pure functions over both, for mastodon.c.
 *
 * The one thing to know: an instance renders a text to HTML, and other servers of the API may render Markdown or drop
 * marks on the way; but none loses or invents a plain word.  So equal texts (blanks and servers of mentions aside) are
 * the same status, a plain word that only one of them has proves another status, and between the two nothing is told.
 */
#define WORDS_MAX 200		/* so many words of a text are looked at; more prove nothing else */

enum verdict { SAME, DIFFERENT, CANNOT_TELL };

static int is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static int is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* ---- HTML to text ---- */

/* The character that the entity at s stands for, and its length; 0 if it is none of those that instances write. */
static size_t text_entity(const char *s, char *ret)
{
	static const struct { const char *name; char c; } entities[] = {
		{ "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' }, { "&#39;", '\'' },
		{ "&#x27;", '\'' }, { "&#34;", '"' }, { "&nbsp;", ' ' }
	};

	for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
		if (strncmp(s, entities[i].name, strlen(entities[i].name)) == 0) {
			*ret = entities[i].c;
			return strlen(entities[i].name);
		}
	return 0;
}

/* Tags that part words; the others stand inside of them. */
static int text_parts(const char *tag)
{
	static const char *const names[] = { "p", "br", "div", "li", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "hr" };
	size_t n;

	tag += *tag == '/';
	n = strcspn(tag, " />");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == n && strncmp(tag, names[i], n) == 0)
			return 1;
	return 0;
}

/* NULL if there is no room. */
static const char *text_plain(mps_op *op, const char *html)
{
	char *out = mps_alloc(op, (uint32_t)strlen(html) + 1);
	const char *end;
	size_t n = 0, skip;

	for (const char *s = html; out && *s;) {
		if (*s == '<' && (end = strchr(s, '>')) != NULL) {
			if (text_parts(s + 1))
				out[n++] = '\n';
			s = end + 1;
		} else if (*s == '&' && (skip = text_entity(s, out + n)) > 0) {
			n++, s += skip;
		} else {
			out[n++] = *s++;
		}
	}
	return out;
}

/* ---- equal ---- */

/* Length of the server's name of the mention "@user@server" whose second sign is at s; 0 if it is none. */
static size_t text_server(const char *start, const char *s)
{
	const char *user = s, *end = s + 1;

	while (user > start && (is_word(user[-1]) || user[-1] == '.' || user[-1] == '-'))
		user--;
	if (user == s || user == start || user[-1] != '@')
		return 0;
	while (is_word(*end) || ((*end == '.' || *end == '-') && is_word(end[1])))
		end++;
	return end - s > 1 ? (size_t)(end - s) : 0;
}

/* The next character that counts: neither a blank nor part of a mention's server. */
static const char *text_next(const char *start, const char *s)
{
	while (*s && (is_blank(*s) || (*s == '@' && text_server(start, s) > 0)))
		s += is_blank(*s) ? 1 : text_server(start, s);
	return s;
}

static int text_equal(const char *a, const char *b)
{
	const char *s = text_next(a, a), *t = text_next(b, b);

	while (*s && *s == *t) {
		s = text_next(a, s + 1);
		t = text_next(b, t + 1);
	}
	return *s == *t;
}

/* ---- plain words ---- */

/* A byte of a character that no renderer touches: letters and digits, of the world's scripts too, but no signs, no
 * emoji, and no accents that stand alone (a server may join them to their letters). */
static int text_is_plain(char byte)
{
	unsigned char c = (unsigned char)byte;

	return c < 0x80 ? is_word(byte) && byte != '_' : c != 0xe2 && c != 0xcc && c != 0xcd && c < 0xf0;
}

/* Bytes of the plain word at s, which ends at a blank; 0 if it holds anything that a renderer may touch. */
static size_t text_word(const char *s, size_t n)
{
	size_t end = n, digits = 0;

	while (end > 0 && strchr(".,;:!?", s[end - 1]))
		end--;
	for (size_t i = 0; i < end; i++) {
		if (!text_is_plain(s[i]))
			return 0;
		digits += (size_t)is_digit(s[i]);
	}
	return digits == end && end < n ? 0 : end;	/* "1." may become an item of a list */
}

/* An ASCII letter or digit before it, or a plain one behind it, makes it another word. */
static int text_has(const char *text, const char *word, size_t n)
{
	for (const char *s = text; (s = strchr(s, *word)) != NULL; s++) {
		int inside = s > text && (unsigned char)s[-1] < 0x80 && text_is_plain(s[-1]);

		if (!inside && strncmp(s, word, n) == 0 && !text_is_plain(s[n]))
			return 1;
	}
	return 0;
}

/* Accents that stand alone: a server that joins them to their letters writes other bytes for the same word. */
static int text_has_accents(const char *s)
{
	while (*s && (unsigned char)*s != 0xcc && (unsigned char)*s != 0xcd)
		s++;
	return *s != '\0';
}

static int text_is_ascii(const char *s, size_t n)
{
	while (n > 0 && (unsigned char)s[n - 1] < 0x80)
		n--;
	return n == 0;
}

/* Whether a has a plain word that b has not. */
static int text_lacks(const char *a, const char *b)
{
	int words = 0, accents = text_has_accents(b);

	for (size_t n; *a && words < WORDS_MAX; a += n) {
		size_t word;

		while (is_blank(*a))
			a++;
		for (n = 0; a[n] && !is_blank(a[n]); n++)
			;
		word = text_word(a, n);
		words += word > 0;
		if (word > 0 && !text_has(b, a, word) && (!accents || text_is_ascii(a, word)))
			return 1;
	}
	return 0;
}

static enum verdict text_compare(const char *ours, const char *theirs)
{
	if (text_equal(ours, theirs))
		return SAME;
	return text_lacks(ours, theirs) || text_lacks(theirs, ours) ? DIFFERENT : CANNOT_TELL;
}
