#!/bin/sh
# A loss that is not finite: exit code 5, naming stage, step, op and batch; earlier checkpoints stay, and repair goes on.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "whole run" run tiny.yaml --json
expect_exit 0
base=$(stage_hash base)

run "learning rate 1e6" run tiny.yaml --json --set stages.base.lr=1e6
expect_error 5 "step [0-9]+: op [a-z_0-9]+ made a number that is not finite"
expect_line 'error: .*batch: samples [0-9]+.*of texts'
expect_line 'stage base'
expect_line 'hint: .*learning rate'
grep -q '"state": *"failed"' runs/tiny/run.json || fail "run.json must say that it failed"
[ -f "$(entry base)/checkpoints/step-000000000/manifest.json" ] || fail "the checkpoint before it must stay"
run "the checkpoint before it" generate runs/tiny:base@0 --prompt "the old" --max-tokens 2 --greedy
expect_exit 0

run "again, the same" run tiny.yaml --set stages.base.lr=1e6
expect_error 5 "not finite"
run "chat alone" run tiny.yaml --set stages.chat.lr=1e6
expect_error 5 "stage chat"
run "a metric of the failed run" metrics runs/tiny --name 'bpb/*'
expect_exit 0
expect_line 'base'

run "repaired" run tiny.yaml --json
expect_exit 0
expect_made ""
[ "$(stage_hash base)" = "$base" ] || fail "the earlier result has changed"
run "another rate" run tiny.yaml --json --set stages.base.lr=0.002
expect_exit 0
expect_made "base chat judge release samples"
finish
