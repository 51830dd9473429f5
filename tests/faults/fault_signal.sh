#!/bin/sh
# Ctrl-C, SIGTERM and kill -9 in the middle of training: 130 and a saved state (or none), and the same bytes in the end.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

# Long enough to be caught in the middle; no fsync storm.
n_steps=300
[ -z "${INSTAR_FAULT_FEW:-}" ] || n_steps=120
long="--set stages.base.steps=$n_steps --set stages.base.probe_at=[20] --only base"
# shellcheck disable=SC2086 # words are meant
run "unbroken" run tiny.yaml $long --dir runs/whole
expect_exit 0
whole=$(stage_hash base whole)
tokens=$(stage_hash tokens whole)
rm -r "$(entry base whole)"

# $1: signal. Ended cleanly: state saved, and it goes on with it.
interrupt() {
    # shellcheck disable=SC2086
    start "SIG$1" run tiny.yaml $long
    wait_for "runs/tiny/stages/base/checkpoints/step-000000020"
    stop "$1"
    expect_exit 130
    expect_line 'the state is saved'
    count_paths "$(entry base)"/resume/step-?????????
    [ "$n_paths" -ge 1 ] || fail "no checkpoint to go on from"
    grep -q '"state": *"interrupted"' runs/tiny/run.json || fail "run.json must say that it was interrupted"
    # shellcheck disable=SC2086
    run "after SIG$1" run tiny.yaml $long --json
    expect_exit 0
    expect_line '^resume base'
    expect_made "base"
    [ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"
    grep -q '"state": *"done"' runs/tiny/run.json || fail "run.json must say that it is done"
    rm -r "$(entry base)"
}
interrupt INT
interrupt TERM

# Killed: two checkpoints are there; the newer one is damaged: it goes on from the one before.
kill_it() {
    # shellcheck disable=SC2086
    start "$1" run tiny.yaml $long --set stages.base.resume_every=0
    wait_for "runs/tiny/stages/base/resume/step-?????????" 2
    stop KILL
    label=$1
    newest=
    for newest in "$(entry base)"/resume/step-?????????; do :; done
}
# `resume_every` is no part of what a stage computes, so all of these are the same entry.
kill_it "killed"
# shellcheck disable=SC2086
run "after kill -9" run tiny.yaml $long --json
expect_exit 0
expect_line '^resume base'
[ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"
rm -r "$(entry base)"

for damage in flip cut manifest empty; do
    kill_it "killed, then $damage"
    case $damage in
    flip) flip_byte "$newest/optimizer.safetensors" ;;
    cut) cut_file "$newest/model.safetensors" ;;
    manifest) cut_file "$newest/manifest.json" ;;
    empty) : >"$newest/state.json" ;;
    esac
    # shellcheck disable=SC2086
    run "after $damage" run tiny.yaml $long --json
    expect_exit 0
    expect_line 'warning: checkpoint of step .* damaged, trying the one before'
    [ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"
    rm -r "$(entry base)"
done

# Every checkpoint is damaged: it starts over.
kill_it "killed, all damaged"
for file in "$(entry base)"/resume/*/optimizer.safetensors; do cut_file "$file"; done
# shellcheck disable=SC2086
run "all are damaged" run tiny.yaml $long --json
expect_exit 0
expect_line 'warning: '
[ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"
[ "$(stage_hash tokens)" = "$tokens" ] || fail "the tokens have changed"

# A second Ctrl-C ends at once.
rm -r "$(entry base)"
# shellcheck disable=SC2086
start "SIGINT twice" run tiny.yaml $long
wait_for runs/tiny/stages/base/checkpoints/step-000000000
kill -s INT "$pid"
stop INT
expect_exit 130
# shellcheck disable=SC2086
run "after it" run tiny.yaml $long --json
expect_exit 0
[ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"

# One waits for another that makes the same stage. Ctrl-C ends the waiting; when the other is killed, it takes over.
rm -r "$(entry base)"
# shellcheck disable=SC2086
"$INSTAR" run tiny.yaml $long --set stages.base.resume_every=0 --dir holder >holder.txt 2>&1 &
holder=$!
wait_for_text() {
    waited=0
    until grep -q "$1" err.txt || [ $waited -gt 1000 ]; do sleep 0.01; waited=$((waited + 1)); done
}
pid=$holder
wait_for 'cache/*/*.partial/resume/step-?????????'
# shellcheck disable=SC2086
start "one that waits" run tiny.yaml $long --dir waiter
wait_for_text 'waiting for process'
stop INT
expect_exit 130
expect_line 'waiting for process [0-9]+ .*makes the same stage'
# shellcheck disable=SC2086
start "one that takes over" run tiny.yaml $long --dir runs/tiny
wait_for_text 'waiting for process'
kill -s KILL "$holder"
wait "$holder" 2>/dev/null
code=0
wait "$pid" || code=$?
expect_exit 0
expect_line 'waiting for process'
expect_line '^resume base'
[ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"

# Data stages stop too, and start over.
rm -rf cache runs
make_texts texts.txt 13 300000
start "while data is built" run tiny.yaml --only texts
wait_for 'cache/*/*.partial'
stop INT
expect_exit 130
run "data after it" run tiny.yaml --json --only texts
expect_exit 0
expect_made "texts"
finish
