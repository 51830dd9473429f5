/* Where a document falls by its group: a number in [0, 1) that depends on the group and the key alone. */
#ifndef INS_DATA_SPLIT_HASH_H
#define INS_DATA_SPLIT_HASH_H

#include "base/hash.h"
#include "data/document.h"

/* Keys of different purposes are different streams: a sample of a corpus does not disturb its split. A reader's share
 * takes INS_HASH_SAMPLE itself (so equal groups of two sources are drawn together), step sample the keys after it. */
#define INS_HASH_SPLIT  UINT64_C(0x73706c6974)
#define INS_HASH_SAMPLE UINT64_C(0x73616d706c65)

static inline double ins_group_number(const ins_field *group, uint64_t key) {
    return (double)(ins_hash64(group->data, group->n, key) >> 11) * 0x1p-53;
}

#endif
