/* The strict server's client with a key of its own for each grant: see oidc.c. */
#define OIDC_ID "oidc-dpop"
#define OIDC_DPOP 1
#include "oidc.c"
