/*
 * One ini file, read strictly: see inifile.c for what inih would let pass.
 */
#ifndef MPS_IO_INIFILE_H
#define MPS_IO_INIFILE_H

#include "core/base/rc.h"

#define INIFILE_MAX (64 * 1024)

/* file and line are where the value stands; key and value live only during the call. */
typedef enum rc inifile_fn(struct cx *cx, void *arg, const char *file, int line, const char *section, const char *key, const char *value);

/* Calls each for every "key = value".  RC_NOT_FOUND if there is no such file; every other fault names the file
 * and, where there is one, the line. */
enum rc inifile_read(struct cx *cx, const char *file, inifile_fn *each, void *arg);

#endif
