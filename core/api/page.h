/*
 * Lists: {"data": [...], "nextCursor": ..., "hasMore": ...}.
 *
 *	struct page p;
 *	rc = page_read(r, &p);			the frame checked limit; this checks the cursor
 *	... query with "id > p.after" (p.after is "" at first) and p.limit + 1 ...
 *	page_begin(r);
 *	while (page_more(&p) && db_next(s)) { page_row(&p, last key of this row); write the row's object }
 *	page_end(r, &p, db_next(s));		true: another row is there
 *
 * A cursor is bound to the organization, the app, the mode, the route and every other query parameter.
 */
#ifndef MPS_API_PAGE_H
#define MPS_API_PAGE_H

#include "core/api/api.h"

#define PAGE_KEY_MAX 256

struct page {
	int limit, rows;
	const char *after;		/* what page_row was given last on the page before; "" on the first page */
	char last[PAGE_KEY_MAX];
};

enum rc page_read(struct api_request *r, struct page *ret);
void page_begin(struct api_request *r);
bool page_more(const struct page *p);			/* this page has room */
void page_row(struct page *p, const char *key);		/* key: where the next page goes on behind this row */
void page_end(struct api_request *r, const struct page *p, bool more);

#endif
