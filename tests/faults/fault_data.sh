#!/bin/sh
# Texts that are missing, empty, too small, or not UTF-8: exit code 3, the file, the reason, and what to do.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

# Only the stages that these faults need.
cat >small.yaml <<'END'
recipe: small
stages:
  texts:
    kind: build-data
    sources: [{kind: text, path: texts.txt, split: lines, group_size: 1}]
    steps: [normalise]
    valid: 0.2
  tokens: {kind: tokenize, corpora: [texts], tokenizer: {kind: bpe, vocab: 280}}
  base:
    kind: train
    data: [{tokens: tokens, corpus: texts}]
    model: {preset: llama, layers: 1, width: 32, heads: 2}
    context: 32
    batch: 128
    precision: f32
    steps: 4
    probes: [{kind: bpb, tokens: tokens, corpus: texts}]
END
run "the recipe itself" run small.yaml
expect_exit 0
good=$(stage_hash base small)

run "a missing file" run small.yaml --set stages.texts.sources.0.path=nowhere.txt
expect_error 3 "nowhere.txt"
run "a missing folder" run small.yaml --set 'stages.texts.sources.0.path=nowhere/*.txt'
expect_error 3 "nowhere/"
mkdir folder
run "a folder for a file" run small.yaml --set stages.texts.sources.0.path=folder
expect_error 3 "folder"
run "a glob without matches, checked" plan small.yaml --set 'stages.texts.sources.0.path=*.nothing'
expect_line '\*\.nothing'

: >empty.txt
run "an empty file" run small.yaml --set stages.texts.sources.0.path=empty.txt
expect_error 3 "empty"
printf '\n \n\t\n\n' >blank.txt
run "only blank lines" run small.yaml --set stages.texts.sources.0.path=blank.txt
expect_error 3 "empty|dropped"
run "everything filtered" run small.yaml --set 'stages.texts.steps=[{kind: length, min_bytes: 1M}]'
expect_error 3 "dropped|empty"
expect_line 'length'

# Half of the lines are Latin-1: counted by reason and dropped, and too many for the threshold.
awk 'NR % 4 == 0 { printf "caf\351 au lait %d\n", NR; next } { print }' texts.txt >quarter.txt
awk '{ printf "caf\351 au lait %d\n", NR }' texts.txt >latin.txt
run "a quarter is not UTF-8" run small.yaml --set stages.texts.sources.0.path=quarter.txt
expect_exit 0
expect_line '^dropped 75 of 300 documents.*UTF-8'
run "nothing is UTF-8" run small.yaml --set stages.texts.sources.0.path=latin.txt
expect_error 3 "empty"
expect_line 'hint: .*300 times.*UTF-8'
head -c 20000 "$INSTAR" >program.txt
run "a program for a text" run small.yaml --set stages.texts.sources.0.path=program.txt
case $code in 0 | 3) ;; *) fail "bytes that are no text: dropped, or an error of data" ;; esac
[ "$code" -eq 0 ] || expect_line 'UTF-8|empty'

# A compressed file that ends early, and one that is none.
gzip -c texts.txt >whole.txt.gz
size=$(wc -c <whole.txt.gz)
head -c $((size / 2)) whole.txt.gz >cut.txt.gz
cp texts.txt lie.txt.gz
run "a whole .gz" run small.yaml --set stages.texts.sources.0.path=whole.txt.gz
expect_exit 0
run "a .gz that is cut" run small.yaml --set stages.texts.sources.0.path=cut.txt.gz
expect_error 3 "cut.txt.gz"
run "a .gz that is plain text" run small.yaml --set stages.texts.sources.0.path=lie.txt.gz
case $code in 0 | 3) ;; *) fail "read as it is, or an error of data" ;; esac
awk 'BEGIN { for (i = 0; i < 300; i++) printf "\377\376 %d\n", i }' >lie.txt.zst
run "a .zst that is none" run small.yaml --set stages.texts.sources.0.path=lie.txt.zst
expect_error 3 "empty|dropped"
expect_line 'UTF-8'
printf '{"text": "fine"}\n{"text": "bro' >cut.jsonl
run "JSON Lines that break off" run small.yaml --set 'stages.texts.sources.0={kind: jsonl, path: cut.jsonl}'
expect_line 'cut.jsonl|JSON'
case $code in 3) ;; *) fail "half of two lines is broken: an error of data" ;; esac

# Sizes that do not fit the text.
head -n 6 texts.txt >six.txt
run "smaller than one batch" run small.yaml --set stages.texts.sources.0.path=six.txt --set stages.texts.valid=0 \
    --set stages.base.probes=[] --set stages.base.batch=64k --set stages.base.context=1024
expect_error 3 "smaller than one batch"
expect_line '^small.yaml:[0-9]+:[0-9]+: error'
run "one document" run small.yaml --set stages.texts.sources.0.path=six.txt --set stages.texts.sources.0.split=file
case $code in 2 | 3) ;; *) fail "an empty valid split that a probe needs is an error" ;; esac
expect_line 'valid'
run "a vocabulary larger than the text gives" run small.yaml --set stages.tokens.tokenizer.vocab=500k
expect_error 3 "vocabulary"
expect_line 'stage tokens'
run "a vocabulary smaller than the bytes" run small.yaml --set stages.tokens.tokenizer.vocab=100
expect_error 2 "vocab"
run "a model with fewer rows than tokens" run small.yaml --set stages.base.model.vocab=64
expect_error 2 "vocab 64 is smaller"


# A model too large for any machine: said before, not killed for it.
limit=20 run "a model of petabytes" run small.yaml --set stages.base.model.width=64k \
    --set stages.base.model.heads=1000 --set stages.base.model.layers=1000
case $code in 2 | 4) ;; *) fail "a model that can't fit is an error of the recipe or of memory" ;; esac
expect_line 'memory|bytes'

# Nothing of what was there is lost.
run "the recipe itself, again" run small.yaml --json
expect_exit 0
expect_made ""
[ "$(stage_hash base small)" = "$good" ] || fail "the earlier result has changed"
finish
