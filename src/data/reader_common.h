/* Option rows that every reader has. The options struct of a reader begins with `ins_reader_common common`. */
#ifndef INS_DATA_READER_COMMON_H
#define INS_DATA_READER_COMMON_H

#include "data/document.h"

#define INS_READER_ROWS(options_type)                                                                                  \
    {.name = "domain",                                                                                                 \
     .type = INS_OPT_STRING,                                                                                           \
     .offset = offsetof(options_type, common.domain),                                                                  \
     .help = "Name of the domain, stored with every document."},                                                       \
        {.name = "share",                                                                                              \
         .type = INS_OPT_FLOAT,                                                                                        \
         .offset = offsetof(options_type, common.share),                                                               \
         .def = "1",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 1,                                                                                                     \
         .flags = INS_OPT_EXCL_MIN,                                                                                    \
         .help = "Share of the groups to keep, chosen by hash: an even sample of the source."},                        \
        {.name = "max_documents",                                                                                      \
         .type = INS_OPT_SIZE,                                                                                         \
         .offset = offsetof(options_type, common.max_documents),                                                       \
         .def = "0",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 9e18,                                                                                                  \
         .unit = "documents",                                                                                          \
         .help = "Stop after this many documents of this source; 0 reads all."},                                       \
        {.name = "max_bytes",                                                                                          \
         .type = INS_OPT_SIZE,                                                                                         \
         .offset = offsetof(options_type, common.max_bytes),                                                           \
         .def = "0",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 9e18,                                                                                                  \
         .unit = "bytes",                                                                                              \
         .help = "Stop after this much text of this source; 0 reads all."},                                            \
    {                                                                                                                  \
        .name = "document_bytes", .type = INS_OPT_SIZE, .offset = offsetof(options_type, common.document_bytes),       \
        .def = "0", .min = 0, .max = 9e18, .unit = "bytes",                                                            \
        .help = "Cut longer texts, at a paragraph's, line's or sentence's end, into documents of one group; 0 never."  \
    }

#endif
