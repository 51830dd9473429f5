/* Numbers as users write them. Whole numbers are computed exactly, never through a double. */
#include "option/option.h"

#include <math.h>
#include <string.h>
#include <strings.h>

bool ins_parse_int(const char *text, int64_t *out) {
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (*p == '\0') return false;
    int64_t value = 0; /* counted downwards: the smallest int64 has no positive twin */
    for (; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *p - '0', &value)) return false;
    }
    if (!negative && value == INT64_MIN) return false;
    *out = negative ? value : -value;
    return true;
}

static bool scale_up(__int128 *value, int64_t factor) {
    return !__builtin_mul_overflow(*value, (__int128)factor, value);
}

/* Multiplier of a size's suffix, 0 if unknown. */
static int64_t size_suffix(const char *text) {
    static const struct {
        const char *suffix;
        int64_t factor;
    } suffixes[] = {
        {"", 1},
        {"k", 1000},
        {"K", 1000},
        {"M", 1000000},
        {"G", 1000000000},
        {"T", INT64_C(1000000000000)},
        {"P", INT64_C(1000000000000000)},
        {"Ki", INT64_C(1) << 10},
        {"Mi", INT64_C(1) << 20},
        {"Gi", INT64_C(1) << 30},
        {"Ti", INT64_C(1) << 40},
        {"Pi", INT64_C(1) << 50},
    };
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == 'B') len--; /* "10 MB", "4KiB", "512B" */
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strlen(suffixes[i].suffix) == len && memcmp(suffixes[i].suffix, text, len) == 0) return suffixes[i].factor;
    return 0;
}

/* "e6", "E-3" at *p, or nothing: exponent into *e. */
static bool read_exponent(const char **p, int *e) {
    *e = 0;
    if (**p != 'e' && **p != 'E') return true;
    const char *q = *p + 1;
    int sign = *q == '-' ? -1 : 1;
    if (*q == '-' || *q == '+') q++;
    if (*q < '0' || *q > '9') return false;
    for (; *q >= '0' && *q <= '9'; q++) {
        if (*e > 40) return false;
        *e = *e * 10 + (*q - '0');
    }
    *e *= sign;
    *p = q;
    return true;
}

bool ins_parse_size(const char *text, int64_t *out) {
    const char *p = text;
    bool negative = *p == '-', any = false;
    if (*p == '-' || *p == '+') p++;
    __int128 value = 0;
    int scale = 0, exponent; /* the number is value * 10^scale */
    for (; (*p >= '0' && *p <= '9') || *p == '.'; p++) {
        if (*p == '.') {
            if (scale < 0 || strchr(p + 1, '.')) return false;
            if (p[1] < '0' || p[1] > '9') return false;
            continue;
        }
        any = true;
        if (!scale_up(&value, 10)) return false;
        value += *p - '0';
        const char *point = memchr(text, '.', (size_t)(p - text));
        if (point) scale--;
    }
    if (!any || !read_exponent(&p, &exponent)) return false;
    scale += exponent;
    while (*p == ' ') p++;
    int64_t factor = size_suffix(p);
    if (factor == 0 || !scale_up(&value, factor)) return false;
    for (; scale > 0 && value != 0; scale--)
        if (!scale_up(&value, 10)) return false;
    for (; scale < 0; scale++) {
        if (value % 10 != 0) return false; /* not whole */
        value /= 10;
    }
    if (value > INT64_MAX) return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

bool ins_parse_float(const char *text, double *out) {
    const char *digits = text + (*text == '-' || *text == '+');
    if (strcasecmp(digits, "inf") == 0 || strcasecmp(digits, ".inf") == 0) {
        *out = *text == '-' ? -INFINITY : INFINITY;
        return true;
    }
    return ins_double_parse(text, out);
}

static double duration_unit(const char *text, size_t len) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"s", 1}, {"sec", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0) return units[i].seconds;
    return 0;
}

/* 90 | 90s | 1.5h | 1h 30min: one plain number of seconds, or numbers with units. */
bool ins_parse_duration(const char *text, double *out) {
    double total = 0;
    if (ins_double_parse(text, &total)) {
        if (total < 0) return false;
        *out = total;
        return true;
    }
    const char *p = text;
    if (*p == '\0') return false;
    while (*p) {
        char number[40];
        size_t len = strspn(p, "0123456789.");
        double value;
        if (len == 0 || len >= sizeof number) return false;
        memcpy(number, p, len);
        number[len] = '\0';
        if (!ins_double_parse(number, &value)) return false;
        p += len;
        while (*p == ' ') p++;
        size_t unit_len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        double unit = duration_unit(p, unit_len);
        if (unit == 0) return false;
        total += value * unit;
        p += unit_len;
        while (*p == ' ') p++;
    }
    *out = total;
    return true;
}

bool ins_parse_bool(const char *text, bool *out) {
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (int i = 0; i < 3; i++) {
        bool is_yes = strcasecmp(text, yes[i]) == 0;
        if (!is_yes && strcasecmp(text, no[i]) != 0) continue;
        *out = is_yes;
        return true;
    }
    return false;
}
