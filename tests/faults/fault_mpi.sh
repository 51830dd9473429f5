#!/bin/sh
# `mpirun -n N instar run`: the losses of one process, one message and one exit code, a killed rank, going on with another
# number of ranks.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"
command -v mpirun >/dev/null 2>&1 || skip "no mpirun here"
# Tests may run as root and have fewer cores than ranks; a container may forbid what makes copies faster, with a warning.
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_MCA_btl_base_warn_component_unused=0
OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe
export OMPI_MCA_btl_base_warn_component_unused OMPI_MCA_btl_vader_single_copy_mechanism
# What Open MPI's plugins do not give back is not ours to report, and they are gone when it would be.
leaks=${ASAN_OPTIONS:-}:detect_leaks=0

# ranks N LABEL ARGS...: as run, on N ranks.
ranks() {
    n=$1
    label=$2
    shift 2
    code=0
    ASAN_OPTIONS=$leaks timeout -k 5 "${limit:-100}" mpirun -n "$n" "$INSTAR" "$@" >out.txt 2>err.txt || code=$?
    expect_civil
}
start_ranks() {
    n=$1
    label=$2
    shift 2
    : >out.txt
    : >err.txt
    ASAN_OPTIONS=$leaks mpirun -n "$n" "$INSTAR" "$@" >out.txt 2>err.txt &
    pid=$!
}

ranks 2 "is there MPI" run tiny.yaml --only texts
if grep -q 'no MPI\|is no Open MPI\|can.t be loaded' err.txt; then
    expect_error 4 'processes were started'
    run "one process works all the same" run tiny.yaml --only base
    expect_exit 0
    [ "$failures" -eq 0 ] || exit 1
    skip "this build has no MPI"
fi
expect_exit 0
rm -rf cache runs

# losses RUN: step and value of each recorded loss and probe.
losses() { "$INSTAR" metrics "runs/$1" --csv | grep -E '^base,[0-9]+,[0-9]+,[0-9]+,(train/loss|bpb/texts)' | cut -d, -f 3,5,6; }
# same_losses RUN RUN: equal to a relative 1e-5.
same_losses() {
    losses "$1" >losses-1.txt
    losses "$2" >losses-2.txt
    [ "$(wc -l <losses-1.txt)" -gt 20 ] || fail "no losses are recorded"
    paste -d, losses-1.txt losses-2.txt | awk -F, '
        { d = $3 - $6; if (d < 0) d = -d
          if ($1 != $4 || $2 != $5 || !(d <= 1e-5 * ($3 < 0 ? -$3 : $3))) { print "  differs| " $0; bad = 1 } }
        END { exit bad }' || fail "the losses of $1 and $2 differ"
}

run "one process" run tiny.yaml --dir runs/one --json
expect_exit 0
sizes="2 4"
[ -z "${INSTAR_FAULT_FEW:-}" ] || sizes=3
for n in $sizes; do
    rm -rf cache
    ranks "$n" "$n ranks" run tiny.yaml --dir "runs/on-$n" --json
    expect_exit 0
    expect_made "base chat judge release samples texts tokens"
    [ "$(grep -c '"stages"' out.txt)" -eq 1 ] || fail "one result must be printed"
    [ "$(grep -c '^start base' err.txt)" -eq 1 ] || fail "one rank must speak"
    [ -f "runs/on-$n/report.html" ] || fail "no report"
    grep -q "\"ranks\": *$n" "runs/on-$n/run.json" || fail "run.json must say how many ranks there were"
    same_losses one "on-$n"
done
run "what ranks made is cached for one process" run tiny.yaml --dir runs/again --json
expect_made ""

# One message, the exit code of the failure; mpirun adds its own lines.
ranks 2 "a recipe's mistake" run tiny.yaml --set stages.base.stepz=3
expect_error 2 "unknown option 'stepz'"
ranks 2 "no recipe" run nothing.yaml
expect_error 2 "nothing.yaml"
ranks 3 "a learning rate that is far too high" run tiny.yaml --set stages.base.lr=1e6
expect_error 5 "not finite"
grep -q '"state": *"failed"' runs/tiny/run.json || fail "run.json must say that it failed"
rm -rf cache runs/tiny

# A rank is killed while it trains: the others end, nothing is damaged, and any number of ranks goes on.
n_steps=120
[ -z "${INSTAR_FAULT_FEW:-}" ] || n_steps=60
long="--set stages.base.steps=$n_steps --set stages.base.probe_at=[20] --only base"
# shellcheck disable=SC2086 # words are meant
ranks 2 "unbroken" run tiny.yaml $long --dir runs/whole
expect_exit 0
whole=$(stage_hash base whole)
rm -r "$(entry base whole)"
# A dead process may stay in the table until its parent's parent looks.
is_alive() {
    case $(ps -o stat= -p "$1") in '' | Z*) return 1 ;; esac
    return 0
}
kill_rank() {
    # shellcheck disable=SC2086
    start_ranks 2 "rank $1 is killed" run tiny.yaml $long --set stages.base.resume_every=0
    wait_for "runs/tiny/stages/base/resume/step-?????????" 2
    children=$(ps -o pid= --ppid "$pid" | tr -d ' ' | sort -n)
    kill -s KILL "$(echo "$children" | sed -n "$(($1 + 1))p")"
    waited=0
    while kill -0 "$pid" 2>/dev/null && [ $waited -lt 300 ]; do sleep 0.1; waited=$((waited + 1)); done
    kill -0 "$pid" 2>/dev/null && fail "mpirun did not end after a rank's death"
    stop KILL
    [ "$code" -ne 0 ] || fail "the launch must not succeed"
    for child in $children; do
        waited=0
        while is_alive "$child" && [ $waited -lt 50 ]; do sleep 0.1; waited=$((waited + 1)); done
        is_alive "$child" && fail "a rank is left behind"
    done
    [ -e "$(entry base)/manifest.json" ] && fail "the stage can't be complete"
}
kill_rank 0
# shellcheck disable=SC2086
ranks 2 "as many go on" run tiny.yaml $long --json
expect_exit 0
expect_line '^resume base'
expect_line 'going on from step'
[ "$(stage_hash base)" = "$whole" ] || fail "not the bytes of the unbroken run"
rm -r "$(entry base)"
kill_rank 1
# shellcheck disable=SC2086
ranks 3 "more go on" run tiny.yaml $long --json
expect_exit 0
expect_line '^resume base'
same_losses whole tiny
rm -r "$(entry base)"
kill_rank 1
# shellcheck disable=SC2086
run "one process goes on" run tiny.yaml $long --json
expect_exit 0
expect_line '^resume base'
same_losses whole tiny
rm -r "$(entry base)"

# Asked to stop, all of them save together. (mpirun ends with an exit code of its own.)
# shellcheck disable=SC2086
start_ranks 2 "SIGTERM to mpirun" run tiny.yaml $long --set stages.base.steps=100000
wait_for "runs/tiny/stages/base/checkpoints/step-000000020"
stop TERM
[ "$code" -ne 0 ] || fail "the launch must not succeed"
expect_line 'the state is saved'
[ "$(grep -c 'error: ' err.txt)" -eq 1 ] || fail "one rank must speak"
count_paths "$(entry base)"/resume/step-?????????
[ "$n_paths" -ge 1 ] || fail "no checkpoint to go on from"
finish
