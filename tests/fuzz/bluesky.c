/* Bluesky against a hostile PDS, authorization server or directory: see play.c. */
#include "play.h"

PLAY
