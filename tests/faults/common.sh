# Shared by the fault tests: a folder to work in, a tiny recipe with texts of its own, and checks of what a command said.
# Use: sh fault_X.sh INSTAR   (KEEP=1 leaves the folder behind). Exit code 77 = skipped.
# shellcheck shell=sh disable=SC2034 # callers use what is set here
LC_ALL=C
export LC_ALL
umask 022
here=$(cd "$(dirname "$0")" && pwd)
INSTAR=${1:?usage: $0 INSTAR}
INSTAR=$(cd "$(dirname "$INSTAR")" && pwd)/$(basename "$INSTAR")
work=$(mktemp -d "${TMPDIR:-/tmp}/instar-fault-XXXXXX") || exit 1
cd "$work" || exit 1
INSTAR_CACHE=$work/cache
export INSTAR_CACHE
failures=0
code=0
label=

clean_up() {
    cd /
    [ -n "${mounted:-}" ] && umount "$mounted"
    if [ -n "${KEEP:-}" ]; then echo "kept $work"; else
        chmod -R u+rwX "$work" 2>/dev/null
        rm -rf "$work"
    fi
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

skip() {
    echo "skipped: $*"
    exit 77
}

# What failed, and what the last command said.
fail() {
    failures=$((failures + 1))
    echo "FAIL [$label]: $*"
    echo "  exit code $code"
    head -c 1500 err.txt | sed 's/^/  err| /'
    head -c 600 out.txt | sed 's/^/  out| /'
}

# Never the right answer to a fault: a bug's exit code, death by a signal other than ours, a sanitizer's report.
expect_civil() {
    case $code in
    70) fail "exit code of a bug" ;;
    124 | 12[6-9] | 13[1-9] | 1[4-9]? | 2??) fail "hung, could not start, or died by a signal" ;;
    esac
    if grep -qE 'Sanitizer|runtime error:|Segmentation|core dumped|Assertion' err.txt; then fail "a crash report"; fi
}

# run LABEL ARGS...: the command, its output in out.txt and err.txt, its exit code in $code.
run() {
    label=$1
    shift
    code=0
    timeout -k 5 "${limit:-60}" "$INSTAR" "$@" >out.txt 2>err.txt || code=$?
    expect_civil
}

expect_exit() { [ "$code" -eq "$1" ] || fail "the exit code must be $1"; }

# A line of stdout or stderr that matches a pattern (extended, one line); the opposite.
expect_line() { grep -qE -e "$1" err.txt out.txt || fail "no line with: $1"; }
expect_no_line() { if grep -qE -e "$1" err.txt out.txt; then fail "there is a line with: $1"; fi; }

# expect_error CODE PATTERN: exactly one error, with this code, and a word about what to do.
expect_error() {
    expect_exit "$1"
    expect_line "error: .*$2|: error: .*$2"
    n_errors=$(grep -cE '(^|: )error: ' err.txt)
    [ "$n_errors" -eq 1 ] || fail "there must be one error, not $n_errors"
    if [ "$1" -ne 130 ] && ! grep -qE 'hint:|did you mean|usage:|must (be|name)|more than' err.txt; then
        fail "no word on what to do"
    fi
}

# expect_cached STAGE...: these and no other were taken from the cache in the last `run --json`.
cached_stages() {
    sed 's/{"name"/\n&/g' out.txt | sed -n 's/^{"name":"\([^"]*\)".*"cached":true.*/\1/p' | sort | tr '\n' ' ' | sed 's/ $//'
}
made_stages() {
    sed 's/{"name"/\n&/g' out.txt | sed -n 's/^{"name":"\([^"]*\)".*"cached":false.*/\1/p' | sort | tr '\n' ' ' |
        sed 's/ $//'
}
expect_made() {
    [ "$(made_stages)" = "$*" ] || fail "stages made: '$(made_stages)', expected '$*' (cached: '$(cached_stages)')"
}

# Lines of made-up words; `seed` chooses which.
make_texts() {
    awk -v seed="${2:-7}" -v lines="${3:-300}" 'BEGIN {
        n = split("the a one small old young grey quick slow river stone house tree wolf fox crow sings runs sleeps " \
                  "builds keeps finds under over beside near", word, " ")
        for (i = 0; i < lines; i++) {
            text = ""
            for (k = 0; k < 10 + seed % 20; k++) { seed = (seed * 1103 + 12345) % 65521; text = text word[1 + seed % n] " " }
            print text
        }
    }' >"$1"
}

# The recipe of these tests: every kind of stage, under a second. Options after the name go below `base`.
make_recipe() {
    cat >"$1" <<'END'
recipe: tiny
stages:
  texts:
    kind: build-data
    sources: [{kind: text, path: texts.txt, split: lines, group_size: 1}]
    valid: 0.2
  tokens: {kind: tokenize, corpora: [texts], tokenizer: {kind: bpe, vocab: 280}}
  base:
    kind: train
    data: [{tokens: tokens, corpus: texts}]
    model: {preset: llama, layers: 2, width: 32, heads: 2}
    context: 32
    batch: 128
    precision: f32
    steps: 30
    probe_points: 3
    probes:
      - {kind: bpb, tokens: tokens, corpus: texts}
      - {kind: sample, prompts: [the old]}
  chat:
    kind: train
    init: base
    data: [{tokens: tokens, corpus: texts}]
    context: 32
    batch: 128
    precision: f32
    steps: 10
    probe_points: 2
  judge: {kind: evaluate, model: base, probes: [{kind: bpb, tokens: tokens, corpus: texts}]}
  samples: {kind: generate, model: chat, prompts: [the old], chat: false, sampling: {max_tokens: 8}}
  release: {kind: export, model: chat}
claims:
  - {id: learns, metric: "base:bpb/texts", relation: "<", than: "base:bpb/texts@first"}
  - {id: wonder, metric: "base:bpb/texts", relation: "<", than: 0.01}
END
}

# The folder of a stage in the cache, of the run in runs/tiny.
entry() { readlink "runs/${2:-tiny}/stages/$1"; }

# Hash of what a stage left: all bytes but times.
stage_hash() {
    (cd "runs/${2:-tiny}/stages/$1/" && find . -type f ! -name perf.jsonl ! -name manifest.json | sort |
        xargs sha256sum) | sha256sum | cut -c 1-16
}

# flip_byte FILE [OFFSET]: the byte in the middle, or there, is not what it was.
flip_byte() {
    size=$(wc -c <"$1")
    at=${2:-$((size / 2))}
    old=$(od -An -tu1 -j "$at" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # an octal escape is meant
    printf "$(printf '\\%03o' $(((old + 64) % 256)))" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>dd.txt
}

# Cuts a file to half its length.
cut_file() {
    size=$(wc -c <"$1")
    dd if="$1" of="$1.cut" bs=1 count=$((size / 2)) 2>dd.txt
    cat "$1.cut" >"$1"
    rm "$1.cut"
}

# start LABEL ARGS...: as run, in the background; $pid.
start() {
    label=$1
    shift
    : >out.txt
    : >err.txt
    "$INSTAR" "$@" >out.txt 2>err.txt &
    pid=$!
}

count_paths() {
    n_paths=0
    for found in "$@"; do [ ! -e "$found" ] || n_paths=$((n_paths + 1)); done
}

# wait_for PATTERN [N]: until N paths match. What was started must be long enough to be caught.
wait_for() {
    waited=0
    while :; do
        # shellcheck disable=SC2086 # a pattern is meant
        count_paths $1
        [ "$n_paths" -lt "${2:-1}" ] || return 0
        sleep 0.01
        waited=$((waited + 1))
        if [ $waited -gt 3000 ] || ! kill -0 "$pid" 2>/dev/null; then
            fail "it ended before '$1' was there"
            return 0
        fi
    done
}

# stop SIGNAL: what was started, and its exit code.
stop() {
    kill -s "$1" "$pid" 2>/dev/null
    code=0
    wait "$pid" 2>/dev/null || code=$?
}

finish() {
    [ "$failures" -eq 0 ] && echo "all as it must be"
    [ "$failures" -eq 0 ]
    exit $?
}

: >out.txt
: >err.txt
make_texts texts.txt
make_recipe tiny.yaml
