/* The provider that others start from, against a hostile platform: see play.c. */
#include "play.h"

PLAY
