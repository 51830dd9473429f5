#!/bin/sh
# The documents say what is there: links and files that they name, commands, options of --set, quoted code, the listing
# in the README, the generated reference, the recipes, the manual page.
#
#   check-docs.sh PROGRAM    in the root of the sources; exit status 1 and one line for each thing that is wrong
set -eu
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export INSTAR_CACHE="$scratch/cache"
bad=0
say() {
    printf '%s\n' "$*" >&2
    bad=1
}

pages="README.md CONTRIBUTING.md CHANGELOG.md src/README.md $(ls docs/*.md)"

# ---- links, with the headings that they lead to ----
# Heading -> anchor, as the usual renderers make it: lower case, no punctuation, blanks become hyphens.
anchors() {
    sed -n 's/^##* *//p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}
for page in $pages; do
    grep -oE '\]\([^)]+\)' "$page" | sed 's/^](//; s/)$//' | sort -u >"$scratch/links" || true
    while read -r link; do
        case $link in http://* | https://*) continue ;; esac
        file=${link%%#*}
        target=$page
        [ -z "$file" ] || target=$(dirname "$page")/$file
        if [ ! -e "$target" ]; then
            say "$page: the link $link leads nowhere"
        elif [ "$file" != "$link" ] && ! anchors "$target" | grep -qxF "${link#*#}"; then
            say "$page: $target has no heading for #${link#*#}"
        fi
    done <"$scratch/links"
done

# ---- files named in the text (patterns and placeholders in capitals aside) ----
for page in $pages; do
    # shellcheck disable=SC2016 # backquotes of Markdown, not of the shell
    grep -oE '[`[](src|tests|recipes|scripts|include|docs|man|cmake)/[A-Za-z0-9_./-]*[A-Za-z0-9][]`]' "$page" | tr -d '`[]' | sort -u \
        >"$scratch/files" || true
    while read -r file; do
        case $file in *[A-Z][A-Z]*) [ "$(basename "$file")" = README.md ] || continue ;; esac
        [ -e "$file" ] || say "$page: there is no $file"
    done <"$scratch/files"
done

# ---- commands ----
"$program" help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p' | sort -u >"$scratch/commands"
[ -s "$scratch/commands" ] || say "instar help lists no commands"
for page in $pages; do
    grep -oE '(^|[ `]|build/)instar [a-z][a-z-]*' "$page" | sed 's/.*instar //' | sort -u >"$scratch/named" || true
    while read -r command; do
        grep -qxF "$command" "$scratch/commands" || say "$page: there is no command 'instar $command'"
    done <"$scratch/named"
done
sed -n 's/^\.It Ic \([a-z-]*\).*/\1/p' man/instar.1 | sort -u >"$scratch/in_man"
comm -3 "$scratch/commands" "$scratch/in_man" | tr -d '\t' >"$scratch/differ"
while read -r command; do
    say "man/instar.1 and 'instar help' differ on the command '$command'"
done <"$scratch/differ"
if command -v mandoc >/dev/null 2>&1; then
    mandoc -T lint man/instar.1 >&2 || say "man/instar.1: see above"
fi

# ---- --set in examples: the recipe must still be right with it ----
for page in $pages; do
    grep -oE "instar (run|plan|why) (RECIPE|recipes/[a-z-]+\.yaml)[^#]*--set [^#]*" "$page" >"$scratch/sets" || true
    while read -r line; do
        recipe=$(printf '%s\n' "$line" | grep -oE 'RECIPE|recipes/[a-z-]+\.yaml' | head -n 1)
        [ "$recipe" != RECIPE ] || recipe=recipes/hello.yaml
        # shellcheck disable=SC2046 # one word each
        set -- $(printf '%s\n' "$line" | grep -oE -- "--set ('[^']*'|[^ ]+)" | tr -d "'")
        "$program" check "$recipe" "$@" >/dev/null 2>"$scratch/message" ||
            say "$page: '$line' is refused: $(cat "$scratch/message")"
    done <"$scratch/sets"
done

# ---- quoted code stands in its file ----
# A comment <!-- from FILE --> goes before the block; the README quotes recipes/hello.yaml as its first YAML block.
for page in $pages; do
    awk -v page="$page" '
        function check(file, block,    text, line) {
            text = ""
            while ((getline line < file) > 0) text = text line "\n"
            close(file)
            if (text == "") { print page ": can not read " file; failed = 1 }
            else if (index(text, block) == 0) { print page ": the code that it quotes is not in " file; failed = 1 }
        }
        /^<!-- from .* -->$/ { source = $3; next }
        /^```/ && source != "" && !inside { inside = 1; block = ""; next }
        /^```/ && inside { check(source, block); inside = 0; source = ""; next }
        inside { block = block $0 "\n" }
        END { exit failed }' "$page" >&2 || bad=1
done
awk '/^```yaml$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md >"$scratch/hello.yaml"
cmp -s "$scratch/hello.yaml" recipes/hello.yaml || say "README.md: the listing is not recipes/hello.yaml"

# ---- the reference ----
"$program" docs "$scratch/reference" >/dev/null
diff -r "$scratch/reference" docs/reference >"$scratch/diff" || {
    head -n 20 "$scratch/diff" >&2
    say "docs/reference is not what the program writes: make docs"
}

# ---- recipes ----
"$program" init "$scratch/new.yaml" >/dev/null
for recipe in recipes/*.yaml "$scratch/new.yaml"; do
    "$program" check "$recipe" >/dev/null 2>"$scratch/message" || say "$recipe: $(cat "$scratch/message")"
done
[ "$(wc -l <recipes/hello.yaml)" -le 25 ] || say "recipes/hello.yaml is longer than 25 lines"

exit "$bad"
