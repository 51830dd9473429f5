/* How much memory there is: of this process, and for it. */
#ifndef INS_BASE_MEM_SYSTEM_H
#define INS_BASE_MEM_SYSTEM_H

#include <stdint.h>

int64_t ins_mem_resident(void);  /* bytes that this process has in memory now; 0 = unknown */
int64_t ins_mem_available(void); /* bytes that it may still take, by machine and control groups; 0 = unknown */

/* The same from other files, for tests. */
int64_t ins_mem_available_in(const char *meminfo, const char *proc_cgroup, const char *sys_root);

#endif
