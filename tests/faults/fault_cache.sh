#!/bin/sh
# A cache that is damaged, unreadable, or shared: what is broken is found and made again with the same bytes; nothing else is.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "whole run" run tiny.yaml --json
expect_exit 0
tokens=$(stage_hash tokens)
base=$(stage_hash base)
chat=$(stage_hash chat)
same() { [ "$(stage_hash "$1")" = "$2" ] || fail "$1 has other bytes than before"; }

# A file that was cut: its size does not fit the manifest.
cut_file "$(entry tokens)/texts/train.shard"
run "a shard that is cut" run tiny.yaml --json
expect_exit 0
expect_line 'warning: cache entry .* damaged .*texts/train.shard'
expect_made "tokens"
same tokens "$tokens"

rm "$(entry base)/checkpoints/step-000000030/model.safetensors"
run "a checkpoint without weights" run tiny.yaml --json
expect_exit 0
expect_line "warning: cache entry .* damaged .*model.safetensors' is missing"
expect_made "base"
same base "$base"

# One bit: the size fits, the hash does not. It is found before the entry is used.
flip_byte "$(entry tokens)/texts/train.shard"
run "a shard with another byte" run tiny.yaml --json --set stages.base.steps=31
expect_exit 0
expect_line 'warning: cache entry .* damaged .*train.shard'
same tokens "$tokens"
run "back again" run tiny.yaml --json
expect_exit 0
expect_made ""

flip_byte "$(entry base)/checkpoints/step-000000030/model.safetensors"
run "a model with another byte" run tiny.yaml --json --set stages.chat.steps=11
expect_exit 0
expect_line 'warning: cache entry .* damaged .*model.safetensors'
same base "$base"
flip_byte "$(entry base)/checkpoints/step-000000030/model.safetensors"
run "a damaged model, generated from" generate runs/tiny:base --prompt "the old" --max-tokens 4 --greedy
expect_exit 0
expect_line 'warning: checkpoint of step 30 is damaged, trying the one before'
run "a damaged model, asked for by its step" generate runs/tiny:base@30 --prompt "the old" --max-tokens 4 --greedy
expect_error 3 "damaged"
run "made again" run tiny.yaml --json --set stages.chat.steps=11
run "made again" run tiny.yaml --json --set stages.chat.steps=12
expect_exit 0
same base "$base"
run "generated from" generate runs/tiny:base --prompt "the old" --max-tokens 4 --greedy
expect_exit 0

# Manifests.
run "as it was" run tiny.yaml --json
: >"$(entry base)/manifest.json"
run "an empty manifest" run tiny.yaml --json
expect_exit 0
expect_line 'warning: cache entry .* damaged'
expect_made "base"
same base "$base"
printf '{"files": 3}' >"$(entry chat)/manifest.json"
run "another manifest" run tiny.yaml --json
expect_exit 0
expect_made "chat"
same chat "$chat"
rm -r "$(entry chat)"
run "a folder that is gone" run tiny.yaml --json
expect_exit 0
expect_made "chat"
same chat "$chat"
run "all cached" run tiny.yaml --json
expect_made ""
[ -e cache/damaged ] || fail "damaged entries must be kept aside"

# What a process left that died: a partial folder with rubbish, temporary files, a lock nobody holds.
dir=$(entry chat)
rm -r "$dir"
mkdir -p "$dir.partial/resume/step-000000005" "$dir.partial/checkpoints/step-000000000.tmp"
echo rubbish >"$dir.partial/resume/step-000000005/model.safetensors"
echo '{"step": 5' >"$dir.partial/resume/step-000000005/manifest.json"
echo rubbish >"$dir.partial/checkpoints/step-000000000.tmp/config.json"
echo rubbish >"$dir.partial/.metrics.jsonl.tmp-0123456789abcdef"
printf '{"step":3,"tokens":1,"name":"x/y","value":1}\n{"step":9,"tok' >"$dir.partial/metrics.jsonl"
echo 'process 1 on nowhere' >"$dir.lock"
run "a stale partial folder" run tiny.yaml --json
expect_exit 0
expect_made "chat"
same chat "$chat"
[ -e "$dir.partial" ] && fail "the partial folder must be gone"

# A cache that can't be used.
: >plain-file
INSTAR_CACHE=$work/plain-file/cache run "a cache below a file" run tiny.yaml --dir other
expect_error 4 "plain-file"
INSTAR_CACHE=$work/plain-file run "a cache that is a file" run tiny.yaml --dir other
expect_error 4 "plain-file"
INSTAR_CACHE=/proc/instar-cache run "a cache where nothing can be made" run tiny.yaml --dir other
expect_error 4 "/proc/instar-cache"
if [ "$(id -u)" -ne 0 ]; then
    chmod 500 cache
    run "a cache that can't be written" run tiny.yaml --set stages.chat.steps=13
    expect_error 4 "cache"
    chmod 000 cache
    run "a cache that can't be read" run tiny.yaml
    expect_error 4 "cache"
    chmod 700 cache
fi
run "the cache again" run tiny.yaml --json
expect_exit 0
expect_made ""

# Two processes want the same: one makes it, the other waits, both end well, and the bytes are the same.
rm -rf cache
code=0
"$INSTAR" run tiny.yaml --json --dir one >one.txt 2>one.err &
first=$!
"$INSTAR" run tiny.yaml --json --dir two >two.txt 2>two.err &
second=$!
label="two processes"
wait $first || fail "the first: $(cat one.err)"
wait $second || fail "the second: $(cat two.err)"
for stage in texts tokens base chat judge samples release; do
    made=$(cat one.txt two.txt | sed 's/{"name"/\n&/g' | grep -c "^{\"name\":\"$stage\".*\"cached\":false")
    [ "$made" -eq 1 ] || fail "$stage was made $made times"
done
[ "$(readlink one/stages/base)" = "$(readlink two/stages/base)" ] || fail "two entries of one stage"
ln -s ../one runs/one
[ "$(stage_hash base one)" = "$base" ] || fail "base has other bytes"
# (hidden locks of processes that are gone are nobody's)
left=$(find cache -name '*.partial' | wc -l)
[ "$left" -eq 0 ] || fail "$left partial folders are left"
finish
