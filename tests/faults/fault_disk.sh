#!/bin/sh
# A disk that is full in the middle of it: exit code 4, nothing that was there is lost, and with room again it goes on.
# Needs a small file system of its own: root, or a kernel that lets users have a namespace.
if [ -z "${INSTAR_FAULT_MOUNTED:-}" ] && [ "$(id -u)" -ne 0 ]; then
    unshare -rm true 2>/dev/null || {
        echo "skipped: needs root or user namespaces to mount a small tmpfs"
        exit 77
    }
    INSTAR_FAULT_MOUNTED=1 exec unshare -rm sh "$0" "$@"
fi
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"
mkdir disk
mount -t tmpfs -o size=6m tmpfs disk 2>mount.txt || skip "a tmpfs can't be mounted: $(cat mount.txt)"
mounted=$work/disk

# leave KIB: fill the disk up to that. empty: away with the filling.
leave() {
    free=$(df -k disk | awk 'NR == 2 { print $4 }')
    [ "$free" -le "$1" ] || head -c $(((free - $1) * 1024)) /dev/zero >disk/filling
}
empty() { rm -f disk/filling; }

n_steps=60 rooms="0 20 100 300 700 1200" least=4
[ -z "${INSTAR_FAULT_FEW:-}" ] || n_steps=20 rooms="0 100 700" least=2
steps="--set stages.base.steps=$n_steps --set stages.base.resume_every=0"
# shellcheck disable=SC2086 # words are meant
run "unbroken" run tiny.yaml --json $steps
expect_exit 0
whole() {
    case $1 in texts) echo "$texts" ;; tokens) echo "$tokens" ;; base) echo "$base" ;; chat) echo "$chat" ;; esac
}
texts=$(stage_hash texts) tokens=$(stage_hash tokens) base=$(stage_hash base) chat=$(stage_hash chat)
rm -rf runs

# The cache is on the full disk: every amount of room ends in another moment.
INSTAR_CACHE=$work/disk/cache
met=0
for room in $rooms; do
    rm -rf disk/cache
    leave "$room"
    # shellcheck disable=SC2086
    run "$room kB" run tiny.yaml $steps
    if [ "$code" -ne 0 ]; then
        met=$((met + 1))
        expect_error 4 "No space left|full"
        expect_line 'hint: .*(space|disk)'
        left=$(find disk/cache -name manifest.json -size 0 2>/dev/null | wc -l)
        [ "$left" -eq 0 ] || fail "an empty manifest is left"
    fi
    empty
    # shellcheck disable=SC2086
    run "$room kB, then more" run tiny.yaml --json $steps
    expect_exit 0
    expect_no_line 'warning: .*damaged'
    for stage in texts tokens base chat; do
        [ "$(stage_hash $stage)" = "$(whole $stage)" ] || fail "$stage has other bytes than the unbroken run"
    done
done
[ "$met" -ge $least ] || fail "only $met of the runs met a full disk"

# In the middle of training: checkpoints are there, the next one does not fit.
rm -rf disk/cache
run "before base" run tiny.yaml --only tokens
expect_exit 0
leave 900
# shellcheck disable=SC2086
run "in a checkpoint" run tiny.yaml $steps --only base
expect_error 4 "No space left|full"
expect_line 'stage base'
count_paths disk/cache/*/*.partial/checkpoints/step-????????? disk/cache/*/*.partial/resume/step-?????????
[ "$n_paths" -ge 1 ] || fail "the checkpoints before it must stay"
count_paths disk/cache/*/*.partial/*/*.tmp
[ "$n_paths" -eq 0 ] || fail "half a checkpoint is left"
empty
# shellcheck disable=SC2086
run "in a checkpoint, then more room" run tiny.yaml --json $steps --only base
expect_exit 0
expect_line '^resume base'
[ "$(stage_hash base)" = "$base" ] || fail "base has other bytes than the unbroken run"

# The run's folder is on the full disk; the cache is not.
INSTAR_CACHE=$work/cache
for room in 0 16 60 150; do
    rm -rf disk/* disk/.[a-z]*
    leave "$room"
    # shellcheck disable=SC2086
    run "run's folder, $room kB" run tiny.yaml $steps --dir disk/run
    [ "$code" -eq 0 ] || expect_error 4 "No space left|full"
    empty
    # shellcheck disable=SC2086
    run "run's folder, $room kB, then more" run tiny.yaml --json $steps --dir disk/run
    expect_exit 0
    expect_made ""
    "$INSTAR" metrics disk/run --name 'bpb/*' >metrics.txt 2>&1 || fail "the metrics can't be read"
    [ "$(wc -l <metrics.txt)" -gt 3 ] || fail "the metrics are not all there"
done

# What is written at the end.
run "a text on a full disk" generate disk/run:base --prompt "the old" --max-tokens 4 --greedy
expect_exit 0
if [ -w /dev/full ]; then
    label="stdout is full"
    code=0
    "$INSTAR" metrics disk/run --csv >/dev/full 2>err.txt || code=$?
    expect_error 4 "written|space"
fi
leave 8
run "an export on a full disk" export disk/run:base disk/model --format hf
expect_error 4 "No space left|full"
[ -e disk/model/config.json ] && [ -e disk/model/model.safetensors ] && fail "half an export looks like a whole one"

# A file system that can't be written at all.
empty
rm -rf disk/*
run "before" run tiny.yaml --dir disk/run --set stages.chat.steps=9
expect_exit 0
INSTAR_CACHE=$work/disk/cache
run "before" run tiny.yaml --dir disk/run
expect_exit 0
if mount -o remount,ro disk 2>mount.txt; then
    run "the run's folder is read-only" run tiny.yaml --dir disk/run
    expect_error 4 "Read-only"
    run "a read-only place" run tiny.yaml --dir disk/other
    expect_error 4 "Read-only"
    run "the cache is read-only" run tiny.yaml --set stages.chat.steps=8
    expect_error 4 "Read-only|can't be written"
    expect_line 'hint: .*INSTAR_CACHE'
    run "reading is fine" metrics disk/run --name 'bpb/*'
    expect_exit 0
    run "a model is fine" generate disk/run:base --prompt "the old" --max-tokens 4 --greedy
    expect_exit 0
    mount -o remount,rw disk
fi
run "and again" run tiny.yaml --dir disk/run --json
expect_exit 0
expect_made ""
finish
