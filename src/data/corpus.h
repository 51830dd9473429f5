/* Writing the files of a corpus. */
#ifndef INS_DATA_CORPUS_H
#define INS_DATA_CORPUS_H

#include "base/file.h"
#include "data/document.h"

#define INS_CORPUS_SPLITS 3
extern const char *const ins_corpus_split_names[INS_CORPUS_SPLITS]; /* train valid test */

/* One split: JSON Lines, compressed with zstd, written atomically. */
typedef struct ins_corpus_writer ins_corpus_writer;
ins_status ins_corpus_writer_open(const char *path, ins_corpus_writer **out, ins_error *err);
ins_status ins_corpus_writer_add(ins_corpus_writer *w, const ins_document *doc, ins_error *err);
ins_status ins_corpus_writer_commit(ins_corpus_writer *w, ins_error *err); /* frees w */
void ins_corpus_writer_abort(ins_corpus_writer *w);

#endif
