/* What window and window_grad share. */
#ifndef INS_OP_WINDOW_H
#define INS_OP_WINDOW_H

#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct ins_window_attr {
    int64_t n; /* positions in a window */
} ins_window_attr;

enum { INS_WINDOW_CHUNK = 64 }; /* rows of a task */

/* in[0] is float [B,T,columns] with columns a multiple of columns_of; in[1] i32 [B,T]. */
ins_status ins_window_check(const ins_op_sig *sig, int64_t columns_of, ins_error *err);
void ins_window_fill(int input, const ins_type *type, void *data);

#endif
