#!/bin/sh
# Model files that are damaged or do not fit, and the commands that read them: exit code 3 and what is wrong; wrong words
# on the command line: 2; places where nothing can be written: 4.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "whole run" run tiny.yaml
expect_exit 0
run "export" export runs/tiny:chat model --format hf
expect_exit 0
run "the model" generate model --prompt "the old" --max-tokens 4 --greedy --json
expect_exit 0
cp out.txt good.txt

# damaged NAME: a copy to be damaged.
damaged() {
    rm -rf copy
    cp -r model copy
    label=$1
}
# expect_bad PATTERN: every command that reads it says so.
expect_bad() {
    what=$label
    run "$what: generate" generate copy --prompt "the old" --max-tokens 4
    expect_exit 3
    expect_line "error: .*($1)"
    run "$what: logits" logits copy --ids '[[1,2,3]]' --out logits.npy
    expect_exit 3
    [ -e logits.npy ] && fail "a result of a damaged model"
    run "$what: export" export copy again --format hf
    expect_exit 3
    [ -e again ] && fail "a copy of a damaged model"
}
damaged "weights cut"
cut_file copy/model.safetensors
expect_bad 'copy/model.safetensors'
damaged "weights empty"
: >copy/model.safetensors
expect_bad 'copy/model.safetensors'
damaged "weights gone"
rm copy/model.safetensors
expect_bad 'has no model.safetensors'
damaged "a header of 2^62 bytes"
printf '\377\377\377\377\377\377\377\077' | dd of=copy/model.safetensors bs=1 conv=notrunc 2>dd.txt
expect_bad 'copy/model.safetensors'
damaged "a header that is no JSON"
printf 'x' | dd of=copy/model.safetensors bs=1 seek=8 conv=notrunc 2>dd.txt
expect_bad 'copy/model.safetensors'
damaged "config cut"
cut_file copy/config.json
expect_bad 'copy/config.json'
damaged "config gone"
rm copy/config.json
expect_bad 'has no config.json'
for edit in 's/"hidden_size": *32/"hidden_size": 64/' 's/"num_hidden_layers": *2/"num_hidden_layers": 2000000000/' \
    's/"vocab_size": *280/"vocab_size": -5/' 's/"num_attention_heads": *2/"num_attention_heads": 3/' \
    's/"num_hidden_layers": *2/"num_hidden_layers": 3/' 's/"model_type": *"[a-z0-9]*"/"model_type": "unheard-of"/' \
    's/"hidden_size": *32/"hidden_size": "wide"/'; do
    damaged "config with $edit"
    sed "$edit" model/config.json >copy/config.json
    if cmp -s model/config.json copy/config.json; then fail "the edit changes nothing"; fi
    expect_bad '.'
done
for damage in gone cut; do
    damaged "tokenizer $damage"
    if [ $damage = gone ]; then rm copy/tokenizer.json; else cut_file copy/tokenizer.json; fi
    run "$label" generate copy --prompt "the old" --max-tokens 4
    expect_exit 3
    expect_line 'error: .*tokenizer'
done

# A checkpoint whose bytes are not those of its manifest.
run "a checkpoint" generate runs/tiny:chat@10 --prompt "the old" --max-tokens 4
expect_exit 0
flip_byte "$(entry chat)/checkpoints/step-000000010/model.safetensors"
run "a checkpoint with another byte" generate runs/tiny:chat@10 --prompt "the old" --max-tokens 4
expect_error 3 "damaged"
run "a stage without a model" generate runs/tiny:texts --prompt x
expect_exit 3

# Wrong words.
run "ids past the vocabulary" generate model --ids '[1,2,99999]' --max-tokens 2
expect_exit 2
expect_line 'error: .*from 0 to 279'
run "a negative id" generate model --ids '[1,-2]' --max-tokens 2
expect_exit 2
run "ids that are no JSON" generate model --ids 'one two' --max-tokens 2
expect_error 2 "ids"
run "no ids" generate model --ids '[]' --max-tokens 2
expect_error 2 "ids"
run "an empty row" logits model --ids '[[1,2],[]]' --out logits.npy
expect_error 2 "row 2 .*empty"
run "a prompt that is too long" generate model --prompt "$(awk 'BEGIN { for (i = 0; i < 20000; i++) printf "old " }')"
expect_exit 2
expect_line 'error: the prompt has [0-9]+ tokens but the model takes [0-9]+'
run "an export onto something" export runs/tiny:base model --format hf
expect_error 2 "exists"
run "an unknown format" export runs/tiny:base other --format pickle
expect_error 2 "pickle"

# JSON Lines in and out.
printf '""\n"the old"\n' >lines.txt
label="round trip"
"$INSTAR" tokenizer encode model <lines.txt >ids.txt 2>err.txt || fail "encode"
"$INSTAR" tokenizer decode model <ids.txt >back.txt 2>err.txt || fail "decode"
cmp -s lines.txt back.txt || fail "a text and an empty one do not come back: $(cat ids.txt back.txt)"
label="not JSON"
code=0
printf '"fine"\nnot json\n' | "$INSTAR" tokenizer encode model >out.txt 2>err.txt || code=$?
expect_exit 2
expect_line '^line 2: error'
label="not UTF-8"
code=0
printf '"a\377"\n' | "$INSTAR" tokenizer encode model >out.txt 2>err.txt || code=$?
expect_exit 2
expect_line '^line 1: error'
label="an id past the vocabulary"
code=0
printf '[1]\n[280]\n' | "$INSTAR" tokenizer decode model >out.txt 2>err.txt || code=$?
expect_exit 2
expect_line '^line 2: error'
expect_civil

# Where nothing can be written.
run "logits to nowhere" logits model --ids '[[1,2]]' --out /nowhere/x.npy
expect_error 4 "/nowhere/x.npy"
run "a report to nowhere" report runs/tiny --out /nowhere/x.html
expect_error 4 "/nowhere/x.html"
run "an export to nowhere" export runs/tiny:base /proc/nowhere --format hf
expect_exit 4

run "the model, after all of it" generate model --prompt "the old" --max-tokens 4 --greedy --json
expect_exit 0
cmp -s good.txt out.txt || fail "the model has changed"
finish
