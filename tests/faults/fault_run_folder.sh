#!/bin/sh
# The run's folder: read-only, in use, half gone. It is a copy of what the cache has, so everything comes back.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "whole run" run tiny.yaml --json
expect_exit 0
run "metrics" metrics runs/tiny --csv
cp out.txt metrics.csv
[ "$(wc -l <metrics.csv)" -gt 20 ] || fail "too few metrics"
base=$(stage_hash base)

all_back() {
    expect_exit 0
    expect_made ""
    "$INSTAR" metrics runs/tiny --csv >again.csv || fail "the metrics can't be read"
    cmp -s metrics.csv again.csv || fail "the metrics are not what they were: $(diff metrics.csv again.csv | head -3)"
    for file in report.html claims.json recipe.lock.yaml run.json stages/base/manifest.json; do
        [ -s "runs/tiny/$file" ] || fail "there is no runs/tiny/$file"
    done
}

rm -f runs/tiny/metrics.db*
run "metrics.db is gone" run tiny.yaml --json
all_back
rm -f runs/tiny/metrics.db-*
head -c 3000 "$INSTAR" >runs/tiny/metrics.db
run "metrics.db is rubbish" run tiny.yaml --json
all_back
rm -f runs/tiny/metrics.db-*
cut_file runs/tiny/metrics.db
run "metrics.db is cut" run tiny.yaml --json
all_back
: >runs/tiny/metrics.db
rm -f runs/tiny/metrics.db-*
run "metrics.db is empty" run tiny.yaml --json
all_back
rm -rf runs/tiny/stages runs/tiny/tensorboard runs/tiny/run.json runs/tiny/claims.json runs/tiny/report.html
run "half of the run is gone" run tiny.yaml --json
all_back
rm -rf runs
run "the run is gone" run tiny.yaml --json
all_back
rm runs/tiny/stages/base
ln -s /nowhere runs/tiny/stages/base
ln -s /nowhere runs/tiny/stages/a-stage-that-was
run "links to nowhere" run tiny.yaml --json
all_back
[ -L runs/tiny/stages/a-stage-that-was ] && fail "links to stages that are no more must go"
rm runs/tiny/stages/base
mkdir runs/tiny/stages/base
echo mine >runs/tiny/stages/base/notes.txt
run "a folder in the place of a link" run tiny.yaml --json
[ "$code" -eq 0 ] || expect_error 4 "stages/base"
[ -f runs/tiny/stages/base/notes.txt ] || [ -n "$(find runs/tiny -name notes.txt)" ] || fail "the user's file is gone"
rm -rf runs/tiny/stages/base
run "without it" run tiny.yaml --json
all_back

# Not a place for a run.
echo x >file
run "the folder is a file" run tiny.yaml --dir file
expect_error 4 "file"
run "the folder is below a file" run tiny.yaml --dir file/run
expect_error 4 "file"
run "the folder is in /proc" run tiny.yaml --dir /proc/instar-run
expect_error 4 "/proc/instar-run"
if [ "$(id -u)" -ne 0 ]; then
    chmod 500 runs/tiny
    run "the folder can't be written" run tiny.yaml
    expect_error 4 "runs/tiny"
    chmod 700 runs/tiny
fi
[ "$(cat file)" = x ] || fail "the file has changed"

# Somebody else runs there.
start "two in one folder" run tiny.yaml --set stages.base.steps=3000 --only base
wait_for 'cache/*/*.partial/checkpoints/step-000000000'
code=0
"$INSTAR" run tiny.yaml >out2.txt 2>err2.txt || code=$?
[ "$code" -eq 4 ] || fail "the second must exit with 4: $(cat err2.txt)"
grep -q "error: another process runs in '.*runs/tiny'" err2.txt || fail "it must say that another process is there"
grep -q 'hint: .*--dir' err2.txt || fail "no hint what to do"
stop INT
expect_exit 130
run "afterwards" run tiny.yaml --json
all_back
[ "$(stage_hash base)" = "$base" ] || fail "base has changed"
finish
