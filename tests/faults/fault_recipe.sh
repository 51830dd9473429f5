#!/bin/sh
# Recipes that are wrong: exit code 2, the place, the nearest name, all problems at once; and odd bytes in the file.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

# changed FILE SED: the tiny recipe with one edit.
changed() {
    sed "$2" tiny.yaml >"$1"
    if cmp -s tiny.yaml "$1"; then fail "the edit '$2' changes nothing"; fi
}

# expect_place FILE WORD COLUMN: the error is where the word stands.
expect_place() { expect_line "^$1:$(grep -n -e "$2" "$1" | head -n 1 | cut -d: -f1):$3: error"; }

run "the recipe itself" check tiny.yaml
expect_exit 0

changed key.yaml 's/    batch: 128/    bacth: 128/'
run "unknown key" check key.yaml
expect_exit 2
expect_place key.yaml bacth 5
expect_line "'bacth'.*did you mean 'batch'"

changed nested.yaml 's/width: 32/widht: 32/'
run "unknown key of the model" check nested.yaml
expect_exit 2
expect_place nested.yaml widht 39
expect_error 2 "'widht'.*did you mean 'width'"

changed top.yaml 's/^claims:/clams:/'
run "unknown key of the recipe" run top.yaml
expect_error 2 "'clams'.*did you mean 'claims'"
expect_place top.yaml clams: 1

changed kind.yaml 's/kind: tokenize/kind: tokenise/'
run "unknown kind" check kind.yaml
expect_exit 2
expect_place kind.yaml tokenise 18
expect_error 2 "'tokenise'.*did you mean 'tokenize'"

changed type.yaml 's/steps: 30/steps: [1, 2]/'
run "wrong type" run type.yaml
expect_error 2 "steps"
expect_place type.yaml steps: 12

changed word.yaml 's/steps: 30/steps: many/'
run "a word for a number" run word.yaml
expect_error 2 "many"
expect_place word.yaml steps: 12

changed range.yaml 's/valid: 0.2/valid: 1.5/'
run "out of range" run range.yaml
expect_error 2 "1.5"
expect_place range.yaml valid: 12

changed cycle.yaml 's/    init: base/    init: chat2/;s/^claims:/  chat2: {kind: train, init: chat, data: [{tokens: tokens, corpus: texts}], steps: 3}\n&/'
run "a cycle" run cycle.yaml
expect_error 2 "cycle: .*'chat' needs 'chat2'.*'chat2' needs 'chat'"
expect_line '^cycle.yaml:[0-9]+:[0-9]+: error'

changed self.yaml 's/    init: base/    init: chat/'
run "a stage that needs itself" run self.yaml
expect_error 2 "cycle"

changed ref.yaml 's/model: base,/model: bass,/'
run "a reference to nothing" run ref.yaml
expect_error 2 "'bass'.*did you mean 'base'"
expect_place ref.yaml bass 34

changed sort.yaml 's/model: base,/model: texts,/'
run "a reference of the wrong sort" run sort.yaml
expect_error 2 "texts"
expect_place sort.yaml 'model: texts' 34

changed claim.yaml 's/metric: "base:bpb/metric: "bose:bpb/'
run "a claim about nothing" check claim.yaml
expect_exit 2
expect_place claim.yaml bose '[0-9]+'

changed both.yaml 's/steps: 30/steps: 30\n    budget: 1M/'
run "options that exclude each other" run both.yaml
expect_error 2 "exclude"
expect_line '^both.yaml:[0-9]+:[0-9]+: error'

changed twice.yaml 's/^  judge:/  base: {kind: export, model: chat}\n&/'
run "a stage twice" run twice.yaml
expect_error 2 "base"
expect_line '^twice.yaml:[0-9]+:[0-9]+: error'

changed many.yaml 's/batch: 128/bacth: 128/;s/valid: 0.2/valid: 1.5/;s/model: base,/model: bass,/'
run "three problems at once" check many.yaml
expect_exit 2
n_errors=$(grep -c '^many.yaml:[0-9]*:[0-9]*: error' err.txt)
[ "$n_errors" -ge 4 ] || fail "all problems must be listed, not $n_errors"

# Files that are no recipe.
run "a missing recipe" run nowhere.yaml
expect_error 2 "nowhere.yaml"
run "a missing recipe, checked" check nowhere.yaml
expect_error 2 "nowhere.yaml"
run "a missing recipe, near another" plan tinny.yaml
expect_error 2 "tinny.yaml"
run "a folder" run .
expect_error 2 "'?\.'?"
: >empty.yaml
run "an empty file" run empty.yaml
expect_error 2 "must be a map"
expect_line '^empty.yaml:1:1: error'
echo '# nothing but a remark' >remark.yaml
run "only a comment" run remark.yaml
expect_error 2 "must be a map"
echo '[1, 2]' >list.yaml
run "a list" run list.yaml
expect_error 2 "map"
echo 'recipe: x' >no-stages.yaml
run "without stages" run no-stages.yaml
expect_error 2 "stages"
printf 'recipe: x\nstages: {}\n' >zero.yaml
run "no stage in stages" run zero.yaml
expect_error 2 "stage"
printf 'stages:\n  a: {kind: train\n  b: ]\n' >syntax.yaml
run "broken YAML" run syntax.yaml
expect_error 2 "."
expect_line '^syntax.yaml:[0-9]+:[0-9]+: error'
printf 'recipe: caf\351\nstages: {}\n' >latin.yaml
run "Latin-1" run latin.yaml
expect_error 2 "UTF-8"
expect_line '^latin.yaml:1:[0-9]+: error'
printf 'recipe: a\000b\nstages: {}\n' >nul.yaml
run "a NUL" run nul.yaml
expect_exit 2
head -c 3000 "$INSTAR" >binary.yaml
run "a program" run binary.yaml
expect_error 2 "."
printf 'a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e]\nstages: {x: *f}\n' >laughs.yaml
limit=10 run "aliases that grow" run laughs.yaml
expect_exit 2

# Odd but right.
printf '\357\273\277' | cat - tiny.yaml >bom.yaml
run "a byte order mark" check bom.yaml
expect_exit 0
sed 's/$/\r/' tiny.yaml >crlf.yaml
run "CRLF" check crlf.yaml
expect_exit 0
sed 's/batch: 128/bacth: 128/;s/$/\r/' tiny.yaml >crlf-key.yaml
run "CRLF with an error" check crlf-key.yaml
expect_exit 2
expect_place crlf-key.yaml bacth 5
printf 'stages:\n\ttexts: {kind: build-data}\n' >tab.yaml
run "a tab as indentation" run tab.yaml
expect_error 2 "tab"
expect_line '^tab.yaml:[12]:[0-9]+: error'

# Hostile sizes.
{
    printf 'a: '
    awk 'BEGIN { for (i = 0; i < 20000; i++) printf "["; print "" }'
} >deep.yaml
limit=20 run "20,000 brackets" run deep.yaml
expect_error 2 "deep|nest"
awk 'BEGIN { for (i = 0; i < 2000; i++) { printf "%" (i ? i : "") "sa:\n", "" } }' >stairs.yaml
limit=20 run "2,000 steps of indentation" run stairs.yaml
expect_error 2 "deep|nest"
{
    printf 'recipe: '
    head -c 100000000 /dev/zero | tr '\0' 'x'
    printf '\nstages: {}\n'
} >long.yaml
limit=20 run "a line of 100 MB" run long.yaml
expect_error 2 "large|long|bytes|MB|MiB"
rm long.yaml

[ -e cache ] && fail "a recipe that is wrong must not leave a cache"
[ -e runs ] && fail "a recipe that is wrong must not leave a run"
finish
