#!/bin/sh
# Format, banned calls, sizes, header hygiene, a clang build with -Werror (syntax only), cppcheck, shell scripts.
# Prints what is wrong, and "lint: fine" where nothing is.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install-deps.sh lint
jobs=$(nproc)
bad=0
say() { # say HEADING LINES: nothing where LINES is empty
    [ -n "$2" ] || return 0
    printf '%s:\n%s\n' "$1" "$2"
    bad=1
}
sources() { git ls-files 'src/*.c' 'src/*.h' 'include/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c' 'bench/*.h'; }

# ---- text ----
say "not formatted (make fmt)" "$(sources | xargs clang-format --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):.*clang-format-violations.*/\1/p' | sort -u)"
say "blanks at the end of a line" "$(git grep -nIP '[ \t]+$' -- . ':!LICENSE' ':!tests/fixtures' || true)"
say "left undone" "$(git grep -nwiE 'todo|fixme|not implemented|not yet implemented' -- src include tests bench || true)"
say "files over 600 lines" "$(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' | xargs wc -l |
    awk '$2 != "total" && $1 > 600 {print "  " $1 " " $2}')"
say "file names used twice" "$(git ls-files 'src/*.c' 'tests/*.c' 'bench/*.c' | xargs -n 1 basename | sort | uniq -d)"
say "tests that no room owns" "$(git ls-files 'tests/*/test_*.c' | while read -r test; do
    room=$(basename "$(dirname "$test")")
    [ -d "src/$room" ] || echo "  $test: there is no src/$room"
done)"

# ---- calls ----
calls() { # calls NAMES PATHS...: calls of one of the functions, comments aside
    names=$1
    shift
    git grep -nE "(^|[^A-Za-z0-9_])($names)[ ]*\(" -- "$@" | grep -vE '^[^:]+:[0-9]+: *(\*|/\*|//)' || true
}
say "banned calls" "$(calls 'strcpy|strcat|strncpy|strncat|sprintf|vsprintf|atoi|atol|atoll|atof|strtok|gets|rand|srand|random|alloca|system|popen|tmpnam|mktemp|gmtime|localtime|asctime|ctime' \
    'src/*.c' 'src/*.h')"
say "the library never prints or exits" "$(calls 'printf|vprintf|puts|putchar|perror|exit|abort|assert' \
    'src/*.c' 'src/*.h' ':!src/cli')"
say "the heap is asked through base/mem.h" "$(calls 'malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf' \
    'src/*.c' 'src/*.h' ':!src/base/mem.c' ':!src/cli')"
# Written to a stream of stdio that is the process's own.
say "the library never prints" "$(git grep -nwE 'stdout' -- 'src/*.c' ':!src/cli' | grep -E '(fprintf|fputs|fwrite|putc)' || true)"

# ---- compilers ----
set -- -std=c17 -D_GNU_SOURCE '-DINS_VERSION="0"' '-DINS_FIXTURES=""' -Isrc -Iinclude -Itests -fsyntax-only -Werror \
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
[ "$(uname -m)" != x86_64 ] || set -- "$@" -DINS_KERNEL_X86
# Without Open MPI's header its file is not looked at.
mpi=/usr/lib/$(uname -m)-linux-gnu/openmpi/include without=:!src/dist/mpi
[ ! -f "$mpi/mpi.h" ] || { set -- "$@" -isystem "$mpi" && without=:!none; }
say "headers that do not compile alone, or that clang warns about" "$(git ls-files 'src/*.h' 'include/*.h' |
    xargs -P "$jobs" -n 16 clang "$@" -Wno-pragma-once-outside-header -Wno-unused-function -x c 2>&1 || true)"
say "clang" "$(git ls-files 'src/*.c' 'tests/*.c' 'bench/*.c' "$without" |
    xargs -P "$jobs" -n 16 clang "$@" 2>&1 || true)"
say "cppcheck" "$(cppcheck --quiet -j "$jobs" --enable=warning,portability --inline-suppr --std=c11 -Isrc -Iinclude -D_GNU_SOURCE \
    --suppress=missingIncludeSystem --suppress=invalidFunctionArg --suppress=readdirCalled --suppress=arrayIndexThenCheck \
    --template='{file}:{line}: {message} [{id}]' src 2>&1)"

# ---- shell ----
say "shellcheck" "$(git ls-files '*.sh' .ci/run | xargs shellcheck -f gcc || true)"

[ "$bad" -eq 0 ] && echo "lint: fine"
exit "$bad"
