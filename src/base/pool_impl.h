/* Inside of the thread pool: for the files of this room only. */
#ifndef INS_BASE_POOL_IMPL_H
#define INS_BASE_POOL_IMPL_H

#include "base/workspace.h"

ins_workspace *ins_workspace_new(ins_pool *pool); /* NULL on OOM */
void ins_workspace_free(ins_workspace *space);

#endif
