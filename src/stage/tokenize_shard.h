/* Encoding one split of a corpus into one shard, in parallel over documents, in document order. */
#ifndef INS_STAGE_TOKENIZE_SHARD_H
#define INS_STAGE_TOKENIZE_SHARD_H

#include "data/document.h"
#include "data/shard.h"
#include "text/tokenizer.h"

typedef struct ins_encode_job {
    const ins_tokenizer *tokenizer;
    ins_pool *pool;
    const ins_log *log;
    const volatile int *stop;
    bool chat; /* fields prompt (and system), response through the chat template; else `field` */
    const char *field;
    const char *corpus_dir, *split, *stage_name, *out_path;
} ins_encode_job;

typedef struct ins_encode_stats {
    int64_t documents, tokens;
    int64_t loss_tokens, text_bytes; /* of a dialogue: of its responses */
    int64_t skipped;                 /* documents without the field, or empty */
} ins_encode_stats;

/* A split that the corpus does not have writes nothing. A complete shard that is already there is kept: its counts are
 * read back. INS_DATA for a train split without documents. */
ins_status ins_encode_corpus(const ins_encode_job *job, ins_encode_stats *stats, ins_error *err);

#endif
