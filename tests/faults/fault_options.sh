#!/bin/sh
# The command line: --set, --only, --seed, --dir, unknown words: exit code 2, what is meant, nothing begun.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "--set without a value" run tiny.yaml --set stages.base.steps
expect_error 2 "stages.base.steps"
run "--set of an unknown key" run tiny.yaml --set stages.base.stepz=3
expect_error 2 "'stepz'.*did you mean 'steps'"
expect_line "set"
run "--set of an unknown stage" run tiny.yaml --set stages.bass.steps=3
expect_error 2 "bass"
run "--set of a wrong type" run tiny.yaml --set 'stages.base.steps=[1]'
expect_error 2 "steps"
run "--set of a value out of range" run tiny.yaml --set stages.texts.valid=7
expect_error 2 "valid"
run "--set of broken YAML" run tiny.yaml --set 'stages.base.steps=[1'
expect_error 2 "flow sequence|bracket"
expect_line '^--set stages.base.steps'
run "--set past the end of a list" run tiny.yaml --set stages.texts.sources.7.split=file
expect_error 2 "sources"
run "--set into a number" run tiny.yaml --set stages.base.steps.more=3
expect_error 2 "steps"
run "--set of nothing" run tiny.yaml --set =3
expect_error 2 "."
run "--set that makes a cycle" run tiny.yaml --set stages.base.init=chat
expect_exit 2
run "--set of a deep path" run tiny.yaml --set "$(awk 'BEGIN { for (i = 0; i < 2000; i++) printf "a."; print "b=1" }')"
expect_exit 2

run "--only of an unknown stage" run tiny.yaml --only bass
expect_error 2 "'bass'.*did you mean 'base'"
run "--seed of a word" run tiny.yaml --seed one
expect_error 2 "seed"
run "--seed below zero" run tiny.yaml --seed -1
expect_error 2 "seed|needs a"
run "--seed too large" run tiny.yaml --seed 99999999999999999999999
expect_error 2 "seed"
run "--threads 0" run tiny.yaml --threads 0
case $code in 0 | 2) ;; *) fail "0 threads: all, or a usage error" ;; esac
rm -rf runs cache
run "--dir without a value" run tiny.yaml --dir
expect_error 2 "dir"
run "--dir empty" run tiny.yaml --dir ''
expect_error 4 "''"
run "an unknown option" run tiny.yaml --strickt
expect_error 2 "did you mean '--strict'"
run "an unknown command" rum tiny.yaml
expect_error 2 "did you mean 'run'"
run "no recipe" run
expect_error 2 "missing|needs"
run "two recipes" run tiny.yaml tiny.yaml
expect_error 2 "too much|one"
run "report of nothing" report nowhere
expect_error 3 "nowhere is not a run"
run "metrics of nothing" metrics nowhere
expect_error 4 "nowhere"
run "a model of nothing" generate nowhere --prompt x
case $code in 2 | 3 | 4) ;; *) fail "a model that is not there is an error" ;; esac
expect_line "error: .*nowhere"
[ -e runs ] && fail "a usage error must not leave a run"

# --only runs what the stage needs and no more.
run "--only" run tiny.yaml --json --only chat
expect_exit 0
expect_made "base chat texts tokens"
run "a stage that the run does not have" generate runs/tiny:nobody --prompt x
case $code in 2 | 3 | 4) ;; *) fail "a stage that is not there is an error" ;; esac
expect_line "error: .*nobody"
run "a step that the run does not have" generate runs/tiny:base@7777 --prompt x
case $code in 2 | 3 | 4) ;; *) fail "a step that is not there is an error" ;; esac
expect_line "error: .*7777"
run "all" run tiny.yaml --json
expect_exit 0
expect_made "judge release samples"

# --strict: the answer is no.
run "--strict with a claim that does not hold" run tiny.yaml --strict
expect_exit 1
run "--strict with claims that hold" run tiny.yaml --strict --set claims.1.than=1000
expect_exit 0
run "without --strict" run tiny.yaml
expect_exit 0
finish
