/* The sandbox's provider against a hostile sandbox: see play.c. */
#include "play.h"

PLAY
