/* TensorBoard event files (TFRecord framing with masked CRC-32C, Event/Summary protobuf written by hand). */
#ifndef INS_FORMAT_TBEVENTS_H
#define INS_FORMAT_TBEVENTS_H

#include "base/status.h"

typedef struct ins_tb_writer ins_tb_writer;
/* Creates dir/events.out.tfevents.<wall seconds>.<host>.<suffix>. */
ins_status ins_tb_open(const char *dir, double wall_time, const char *suffix, ins_tb_writer **out, ins_error *err);
ins_status ins_tb_scalar(ins_tb_writer *w, const char *tag, int64_t step, double wall_time, float value,
                         ins_error *err);
ins_status ins_tb_text(ins_tb_writer *w, const char *tag, int64_t step, double wall_time, const char *text,
                       ins_error *err);
ins_status ins_tb_flush(ins_tb_writer *w, ins_error *err);
void ins_tb_close(ins_tb_writer *w); /* NULL is fine */

#endif
