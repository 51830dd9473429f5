/* Memory for results that nobody needs once a run is over. All runs on one thread pool share it, one after the other,
 * so it is as large as the largest of them. It grows, is made of huge pages where there are some, is touched by all
 * threads before its first use, and goes back to the system with its last user: no page faults in between.
 */
#ifndef INS_BASE_WORKSPACE_H
#define INS_BASE_WORKSPACE_H

#include "base/pool.h"

typedef struct ins_workspace ins_workspace;

ins_workspace *ins_pool_workspace(ins_pool *pool); /* the pool's own; NULL for a NULL pool */

/* Users come and go (an executor each). */
void ins_workspace_join(ins_workspace *space);
void ins_workspace_leave(ins_workspace *space);

/* Will be that large; nothing is touched before the first use. INS_NOMEM when the system will never have so much. */
ins_status ins_workspace_reserve(ins_workspace *space, size_t bytes, ins_error *err);

/* At least `bytes`, aligned to 64 or better, until `give`; the contents are anybody's. *out = NULL when somebody else
 * has it right now: use other memory then. INS_NOMEM when it can't grow. */
ins_status ins_workspace_take(ins_workspace *space, size_t bytes, void **out, ins_error *err);
void ins_workspace_give(ins_workspace *space);

size_t ins_workspace_bytes(const ins_workspace *space); /* its size now */

#endif
