/* The families of a build that leaves out rooms: none. A full build (INS_HAVE_REGISTRY) takes the list of
 * src/registry.c; a test may define its own. Weak, and in a file of its own, so that either replaces it. */
#include "option/component.h"

#ifndef INS_HAVE_REGISTRY
__attribute__((weak)) const ins_family *const ins_families[] = {NULL};
#endif
