/* Compressed modules of the SWORD project (drivers zText, zText4, zCom, zCom4): what their .conf file says, and the
 * entries of a testament. Per testament T (ot, nt) and block letter L (b book, c chapter, v verse): T.Lzs  12 bytes a
 * block: u32 offset in T.Lzz, u32 compressed size, u32 size T.Lzv  10 bytes an entry (12 with the "4" drivers): u32
 * block, u32 offset in it, u16 (u32) size T.Lzz  zlib blocks Little endian. Entries are verses in the order of the
 * versification, with slots for headings before them. */
#ifndef INS_DATA_SWORD_MODULE_H
#define INS_DATA_SWORD_MODULE_H

#include "base/file.h"
#include "base/str.h"

typedef struct ins_sword_conf {
    char name[64];
    char data_path[512]; /* folder of the data files */
    bool commentary;
    bool wide; /* u32 sizes */
} ins_sword_conf;

/* INS_DATA for a driver, compression or encryption that is not supported. */
ins_status ins_sword_conf_read(const char *path, ins_sword_conf *conf, ins_error *err);
/* Path of the testament's files up to "zs", "zv", "zz" ("/.../ot.c"); false when it has none. */
bool ins_sword_stem(const ins_sword_conf *conf, const char *testament, char *stem, size_t size);

typedef struct ins_sword_file {
    ins_map index, verses, data;
    bool wide;
    int64_t n_entries, at; /* at: next entry */
    int64_t block;         /* in `text`; -1 = none */
    ins_str text;          /* the block */
    uint64_t last[3];      /* block, offset, size of the entry before: linked verses repeat them */
    bool any;
} ins_sword_file;

ins_status ins_sword_open(const char *stem, bool wide, ins_sword_file *file, ins_error *err);
void ins_sword_close(ins_sword_file *file);
/* Next entry that is not empty and not linked to the one before. Text borrowed until the next call. */
ins_status ins_sword_next(ins_sword_file *file, const char **text, size_t *n, int64_t *entry, bool *end,
                          ins_error *err);

#endif
