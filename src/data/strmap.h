/* Map from strings to whole numbers: open addressing, keys borrowed. */
#ifndef INS_DATA_STRMAP_H
#define INS_DATA_STRMAP_H

#include "base/status.h"

typedef struct ins_strmap {
    struct ins_strmap_slot *slots;
    int64_t n, cap; /* cap is a power of two or 0 */
} ins_strmap;

void ins_strmap_free(ins_strmap *map);
/* The value of `key`, or -1. */
int64_t ins_strmap_get(const ins_strmap *map, const char *key);
/* Set it where it is not there yet; *added says whether it was not. The key must outlive the map. */
ins_status ins_strmap_add(ins_strmap *map, const char *key, int64_t value, bool *added, ins_error *err);

#endif
