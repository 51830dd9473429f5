#!/bin/sh
# `instar verify-resume`: killed at random moments, resumed, every byte as in an unbroken run. A few kills of each stage
# kind here, many in fault_resume_long.sh; and that a difference would be found.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"
kills=${INSTAR_FAULT_KILLS:-2}
limit=1500

run "verify-resume" verify-resume tiny.yaml --kills "$kills" --seed 3 --json --work "$work/verify" \
    --set stages.base.resume_every=0
expect_exit 0
expect_line '"equal": ?true'
expect_no_line '"equal": ?false'
for kind in build-data tokenize train evaluate generate export; do expect_line "\"$kind\""; done
[ -e "$work/verify" ] && fail "the work folder is left"

run "one stage" verify-resume tiny.yaml --kills 2 --stage chat --json
expect_exit 0
expect_line '"kills": ?2'
run "no such stage" verify-resume tiny.yaml --kills 1 --stage chatt
expect_error 2 "'chatt'.*did you mean 'chat'"
run "a recipe that fails" verify-resume tiny.yaml --kills 1 --set stages.base.lr=1e6
[ "$code" -ne 0 ] || fail "a run that fails can't be verified"
expect_line 'not finite'

# The folder to work in is removed in the end: never one with something in it.
mkdir mine
echo mine >mine/file
run "somebody's folder" verify-resume tiny.yaml --kills 1 --stage texts --work mine
expect_error 2 "'mine', is not empty"
[ -f mine/file ] || fail "the user's file is gone"

# A stage that is not the same twice, because its length depends on the time, is found out. (By chance it may be once.)
for try in 1 2 3; do
    run "a budget of time, try $try" verify-resume tiny.yaml --kills 1 --stage base --set stages.base.steps=0 \
        --set stages.base.time=500ms --set stages.base.probes=[] --json --work "$work/verify-$try"
    [ "$code" -eq 0 ] || break
done
expect_exit 1
expect_line '"equal": ?false'
expect_line '"difference": ?".*other bytes|only in one'
[ -e "$work/verify-$try/broken" ] || fail "the caches must be kept to be looked at"
finish
