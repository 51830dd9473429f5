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
    char text[40];
    if (isfinite(value)) {
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value) break;
        }
        size_t at = strspn(text, "0123456789+-e");
        size_t gap = strcspn(text + at, "0123456789"); /* the locale's decimal point, maybe of several bytes */
        if (text[at] != '\0' && gap > 0) {
            text[at] = '.';
            memmove(text + at + 1, text + at + gap, strlen(text + at + gap) + 1);
        }
    } else {
        snprintf(text, sizeof text, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    }
    memcpy(buf, text, strlen(text) + 1); /* at most 24 characters */
    return buf;
}
