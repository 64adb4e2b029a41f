/*
 * Providers of this installation: which files to load, their snapshots, reloads asked for by other threads.
 */
#ifndef MPS_ENGINE_PROVIDE_H
#define MPS_ENGINE_PROVIDE_H

struct engine;

void provide_load(struct engine *e);	/* every .so of the folder, at start */
void provide_turn(struct engine *e);	/* performs a reload that another thread asked for; keeps the list */
void provide_end(struct engine *e);

#endif
