#!/bin/sh
# Fuzzes the readers of files from outside, each for a while, from the examples that the project has. Finds stay in
# build-fuzz: crash-* files, and what was learnt in corpus/.
#
#   fuzz.sh [SECONDS]     for each target; 60 without it
set -eu
cd "$(dirname "$0")/.."
sh scripts/install-deps.sh lint
cmake -G Ninja -S . -B build-fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DINS_FUZZ=ON -DINS_TESTS=OFF \
    "-DINS_ROOMS=base;option;tensor;format;text;data" >/dev/null
cmake --build build-fuzz

mark=$(printf '\377\036\377')
corpus=build-fuzz/corpus
# seed TARGET NAME SELECTOR FILES...: the files, a mark between them, behind the byte that chooses (octal, or none).
seed() {
    mkdir -p "$corpus/$1"
    out=$corpus/$1/$2 select=$3
    shift 3
    {
        # shellcheck disable=SC2059 # the octal escape is the format
        printf "$select"
        cat "$1"
        shift
        for file in "$@"; do
            printf '%s' "$mark"
            cat "$file"
        done
    } >"$out"
}
for file in recipes/*.yaml; do seed yaml "$(basename "$file")" '' "$file"; done
for file in tests/fixtures/models/*/model.safetensors; do
    seed safetensors "$(basename "$(dirname "$file")")" '' "$file"
done
for file in tests/fixtures/tokenizer/*.json; do seed tokenizer "$(basename "$file")" '' "$file"; done
data=tests/fixtures/data
printf '{"text": "one", "n": [1, {"a": null}]}\n{"a": {"b": "two"}, "c": "x"}\n' >"$corpus/lines.jsonl"
seed readers text '\000' LICENSE
gzip -nc LICENSE >"$corpus/packed" && seed readers gz '\001' "$corpus/packed"
seed readers jsonl '\003' "$corpus/lines.jsonl"
seed readers fields '\004' "$corpus/lines.jsonl"
seed readers csv '\005' $data/quotes.csv
seed readers tsv '\006' $data/pairs.tsv
seed readers dictd '\007' $data/tiny.index $data/tiny.dict
gzip -nc $data/tiny.dict >"$corpus/packed" && seed readers dictzip '\010' $data/tiny.index "$corpus/packed"
seed readers wordnet '\011' $data/data.noun
seed readers debian '\012' $data/small_Packages $data/small_Translation-en
seed readers questions '\013' $data/small_Packages $data/small_Translation-en
# A module of the SWORD project: one zlib block, stored, of two entries behind an empty one.
printf '\170\001\001\045\000\332\377In the beginning <hi>was</hi> a word.\364\117\014\245' >"$corpus/verse"
printf '\000\000\000\000\060\000\000\000\045\000\000\000' >"$corpus/index"
printf '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\021\000\000\000\000\000\021\000\000\000\024\000' >"$corpus/verses"
seed readers sword '\014' "$corpus/index" "$corpus/verses" "$corpus/verse"

status=0
for program in build-fuzz/fuzz_*; do
    [ -x "$program" ] || continue
    name=${program#build-fuzz/fuzz_}
    echo "fuzzing $name"
    "$program" -max_total_time="${1:-60}" -max_len=65536 -artifact_prefix="build-fuzz/crash-$name-" "$corpus/$name" \
        >"build-fuzz/$name.log" 2>&1 || {
        tail -n 30 "build-fuzz/$name.log"
        status=1
    }
    grep -E '^Done|^#[0-9]+\s+DONE' "build-fuzz/$name.log" || true
done
exit "$status"
