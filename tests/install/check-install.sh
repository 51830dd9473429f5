#!/bin/sh
# Installs into an empty folder, then builds a program against what is there, as somebody who embeds the library would.
#
#   check-install.sh BUILD CC [SANITIZERS]
set -eu
build=$1 cc=$2 sanitize=${3:-}
command -v pkg-config >/dev/null 2>&1 || exit 77
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Moved after installing: nothing may remember the first place.
cmake --install "$build" --prefix "$scratch/first" >/dev/null
mv "$scratch/first" "$scratch/prefix"
prefix=$scratch/prefix
for file in bin/instar include/instar/instar.h share/man/man1/instar.1 share/bash-completion/completions/instar \
    share/instar/recipes/hello.yaml; do
    [ -s "$prefix/$file" ] || {
        echo "not installed: $file" >&2
        exit 1
    }
done

cat >"$scratch/embed.c" <<'C'
#include <instar/instar.h>
#include <stdio.h>
int main(void) {
    return puts(instar_version()) < 0;
}
C
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name instar.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # words are meant
"$cc" -std=c17 -Wall -Wextra -Werror ${sanitize:+"-fsanitize=$sanitize"} "$scratch/embed.c" $(pkg-config --cflags --libs instar) \
    -o "$scratch/embed"
[ "$("$scratch/embed")" = "$(pkg-config --modversion instar)" ]
[ "$("$prefix/bin/instar" --version)" = "instar $("$scratch/embed")" ]
