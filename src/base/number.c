/* Doubles as text, independent of the locale that the program may have set. */
#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [+-] digits [. digits] [e [+-] digits], at least one digit before or after the point. */
static bool is_decimal(const char *p) {
    int digits = 0;
    if (*p == '+' || *p == '-') p++;
    for (; *p >= '0' && *p <= '9'; p++) digits++;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++) digits++;
    if (digits == 0) return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        if (*p < '0' || *p > '9') return false;
        while (*p >= '0' && *p <= '9') p++;
    }
    return *p == '\0';
}

bool ins_double_parse(const char *text, double *out) {
    if (!is_decimal(text)) return false;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object in glibc and musl */
    if (!c_locale) return false;
    double value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value)) return false;
    *out = value;
    return true;
}

const char *ins_double_format(double value, char buf[32]) {
    if (!isfinite(value)) {
        snprintf(buf, 32, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return buf;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, value);
        if (strtod(buf, NULL) == value) break;
    }
    size_t at = strspn(buf, "0123456789+-e");
    size_t gap = strcspn(buf + at, "0123456789"); /* the locale's decimal point, maybe of several bytes */
    if (buf[at] != '\0' && gap > 0) {
        buf[at] = '.';
        memmove(buf + at + 1, buf + at + gap, strlen(buf + at + gap) + 1);
    }
    return buf;
}
