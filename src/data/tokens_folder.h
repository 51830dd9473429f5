/* Where a tokenize stage keeps the shards of a corpus: CORPUS/SPLIT.shard below its folder. */
#ifndef INS_DATA_TOKENS_FOLDER_H
#define INS_DATA_TOKENS_FOLDER_H

#include "base/status.h"

/* Folder name of a corpus reference: characters that a path should not have become '_'. Truncated to size - 1. */
void ins_tokens_folder(const char *ref, char *buf, size_t size);

#endif
