/* Growable byte string. Always NUL-terminated; `len` excludes the NUL and may span embedded NULs.
 * An append that runs out of memory sets `oom`, and later appends do nothing: check once at the end.
 */
#ifndef INS_BASE_STR_H
#define INS_BASE_STR_H

#include "base/status.h"

typedef struct ins_str {
    char *data; /* owned; NULL when empty and never written */
    size_t len, cap;
    bool oom;
} ins_str;

void ins_str_append(ins_str *s, const void *bytes, size_t n);
void ins_str_puts(ins_str *s, const char *text);
void ins_str_putc(ins_str *s, char c);
void ins_str_printf(ins_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool ins_str_reserve(ins_str *s, size_t n); /* room for n more bytes and the NUL at data + len; false = oom */
void ins_str_clear(ins_str *s);             /* len = 0, memory kept */
void ins_str_free(ins_str *s);

/* Append `n` bytes as the inside of a JSON string (no quotes); invalid UTF-8 becomes U+FFFD. */
void ins_str_json_escape(ins_str *s, const char *bytes, size_t n);
void ins_str_html_escape(ins_str *s, const char *bytes, size_t n);

/* Length of the valid UTF-8 sequence at p (1..4), or 0 if invalid/truncated; *cp gets the code point. */
int ins_utf8_decode(const unsigned char *p, size_t n, uint32_t *cp);
int ins_utf8_encode(uint32_t cp, char out[4]);
bool ins_utf8_valid(const char *p, size_t n, size_t *bad_at);

/* Numbers as text, whatever the program's locale. Format: shortest decimal that reads back to the same double ("0.1",
 * "1e-05"; "inf", "-inf", "nan"). Parse: decimal digits with optional sign, point and exponent, nothing around it;
 * false for anything else and for values past the range of double. */
const char *ins_double_format(double value, char buf[32]);
bool ins_double_parse(const char *text, double *out);

/* Numbers for people, three significant digits with an SI prefix: "1.50 MB"; count "12.3G" (write "%sFLOP/s"), "999".
 */
const char *ins_human_size(double bytes, char buf[32]);
const char *ins_human_count(double n, char buf[32]);
const char *ins_human_time(double seconds, char buf[32]); /* "3.2 s", "4 min 10 s" */

#endif
