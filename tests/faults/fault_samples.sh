#!/bin/sh
# A model writes bytes that are no UTF-8: every record of the run is UTF-8 all the same.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"
command -v iconv >iconv.txt 2>&1 || skip "there is no iconv"

run "a model of bytes" run tiny.yaml --json --set stages.tokens.tokenizer=byte --set stages.base.steps=4 \
    --set 'stages.samples.prompts=[a, b, c]' --set 'stages.samples.sampling={max_tokens: 100, temperature: 3}' \
    --set 'stages.base.probes.1.sampling={max_tokens: 100, temperature: 3}'
expect_exit 0
replacement=$(printf '\357\277\275')
for file in runs/tiny/stages/base/metrics.jsonl runs/tiny/stages/samples/metrics.jsonl runs/tiny/stages/samples/samples.jsonl \
    runs/tiny/report.html runs/tiny/run.json runs/tiny/claims.json runs/tiny/recipe.lock.yaml; do
    iconv -f UTF-8 -t UTF-8 "$file" >iconv.txt 2>&1 || fail "$file is not UTF-8"
done
grep -q "$replacement" runs/tiny/stages/samples/samples.jsonl || fail "the model wrote no invalid bytes: the test shows nothing"
grep -q "$replacement" runs/tiny/stages/base/metrics.jsonl || fail "the probe's text has no invalid bytes: the test shows nothing"

# The store: what SQLite gives out, or (without its program) what stands in its file around each mark.
if command -v sqlite3 >iconv.txt 2>&1; then
    sqlite3 runs/tiny/metrics.db "SELECT text FROM sample" >texts-out.txt || fail "the store can't be read"
    [ -s texts-out.txt ] || fail "no sample is in the store"
    iconv -f UTF-8 -t UTF-8 texts-out.txt >iconv.txt 2>&1 || fail "a text in metrics.db is not UTF-8"
    grep -q "$replacement" texts-out.txt || fail "the store lost the bytes that are no UTF-8"
fi
run "as JSON" generate runs/tiny:base --prompt a --max-tokens 100 --temperature 3 --json
expect_exit 0
iconv -f UTF-8 -t UTF-8 out.txt >iconv.txt 2>&1 || fail "the JSON is not UTF-8"

# A model with more rows than the tokenizer has tokens: the rows past them are never drawn.
run "more rows than tokens" run tiny.yaml --dir padded --set stages.tokens.tokenizer=byte --set stages.base.steps=4 \
    --set stages.base.model.vocab=400 --set 'stages.samples.sampling={max_tokens: 100, temperature: 3}' \
    --set 'stages.base.probes.1.sampling={max_tokens: 100, temperature: 3}'
expect_exit 0
run "more rows, from outside" generate padded:base --prompt a --max-tokens 200 --temperature 5 --json
expect_exit 0

# Imported from the cache into another run's store.
run "imported" run tiny.yaml --dir other --json --set stages.tokens.tokenizer=byte --set stages.base.steps=4 \
    --set 'stages.samples.prompts=[a, b, c]' --set 'stages.samples.sampling={max_tokens: 100, temperature: 3}' \
    --set 'stages.base.probes.1.sampling={max_tokens: 100, temperature: 3}'
expect_made ""
if command -v sqlite3 >iconv.txt 2>&1; then
    sqlite3 other/metrics.db "SELECT text FROM sample" >texts-other.txt
    sort texts-out.txt >one.txt
    sort texts-other.txt >two.txt
    cmp -s one.txt two.txt || fail "the imported texts differ"
fi
finish
