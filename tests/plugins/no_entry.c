/* A shared object that is no provider. */
int mps_something_else(void);
int mps_something_else(void) { return 1; }
