#!/bin/sh
# Format, banned calls, sizes, header hygiene, shell scripts, and a clang build with -Werror (syntax only).
set -eu
cd "$(dirname "$0")/.."
sh scripts/install-deps.sh lint
bad=0
say() { printf '%s\n' "$*"; bad=1; }

files=$(git ls-files 'src/*.c' 'src/*.h' 'include/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c')
# shellcheck disable=SC2086 # a list of files is meant
unformatted=$(clang-format --dry-run $files 2>&1 | sed -n 's/^\([^:]*\):.*clang-format-violations.*/\1/p' | sort -u)
[ -z "$unformatted" ] || say "not formatted (make fmt):
$unformatted"

banned=$(git grep -nwE 'strcpy|strcat|sprintf|atoi|atof|strtok|gets|rand|srand' -- 'src/*.c' 'src/*.h' | grep -vE '^\S+\s*(\*|/\*|//)' || true)
[ -z "$banned" ] || say "banned calls:
$banned"
printing=$(git grep -nE '\b(printf|exit|abort|fprintf|puts)[ ]*\(' -- 'src/*.c' ':!src/cli' | grep -vE 'format\(printf|_exit\(' || true)
[ -z "$printing" ] || say "the library never prints or exits:
$printing"

long=$(git ls-files 'src/*.c' 'src/*.h' | xargs wc -l | awk '$2 != "total" && $1 > 600 {print "  " $1 " " $2}')
[ -z "$long" ] || say "files over 600 lines:
$long"
twins=$(git ls-files 'src/*.c' 'tests/*.c' 'bench/*.c' | xargs -n1 basename | sort | uniq -d)
[ -z "$twins" ] || say "file names used twice: $twins"

flags="-std=c17 -D_GNU_SOURCE -Isrc -Iinclude -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Werror -fsyntax-only"
for header in $(git ls-files 'src/*.h' 'include/*.h'); do
    # shellcheck disable=SC2086 # a list of flags is meant
    report=$(clang $flags -Wno-pragma-once-outside-header -Wno-unused-function -x c "$header" 2>&1) ||
        say "$header does not compile alone:
$(printf '%s' "$report" | head -5)"
done
shellcheck scripts/*.sh .ci/run || bad=1
[ "$bad" -eq 0 ] && echo "lint: fine"
exit "$bad"
