/* Mastodon against a hostile instance: see play.c. */
#include "play.h"

PLAY
