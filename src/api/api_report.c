/* The report of a run. */
#include "api/api_internal.h"
#include "report/report.h"

instar_status instar_report(instar *session, const char *run_dir, const char *path, char **written) {
    char target[PATH_MAX];
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    ins_status status = path ? INS_OK : ins_path_join(run_dir, "report.html", target, sizeof target, &err);
    if (status == INS_OK) status = ins_report_write(run_dir, path ? path : target, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    ins_str_puts(&out, path ? path : target);
    return api_give(session, &out, written);
}
