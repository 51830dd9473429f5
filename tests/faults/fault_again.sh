#!/bin/sh
# Running again: nothing is done twice; one changed option runs what depends on it and nothing else; `why` names it.
# shellcheck source=tests/faults/common.sh
. "$(dirname "$0")/common.sh"

run "first run" run tiny.yaml --json
expect_exit 0
expect_made "base chat judge release samples texts tokens"
for file in report.html metrics.db claims.json recipe.lock.yaml run.json stages/base stages/release; do
    [ -e "runs/tiny/$file" ] || fail "there is no runs/tiny/$file"
done
before=$(stage_hash chat)

limit=5 run "second run" run tiny.yaml --json
expect_exit 0
expect_made ""

run "another folder" run tiny.yaml --json --dir elsewhere
expect_exit 0
expect_made ""

run "why, before" why tiny.yaml chat
expect_exit 0
expect_line '^chat is cached'

run "why, changed" why tiny.yaml chat --set stages.chat.steps=12
expect_exit 0
expect_line 'not cached'
expect_line 'steps +10 -> +12'

run "chat changed" run tiny.yaml --json --set stages.chat.steps=12
expect_exit 0
expect_made "chat release samples"

run "back again" run tiny.yaml --json
expect_exit 0
expect_made ""
[ "$(stage_hash chat)" = "$before" ] || fail "the earlier result of chat has changed"

run "a text changed" why tiny.yaml texts
expect_line '^texts is cached'
echo "one more line of text" >>texts.txt
run "a text changed" why tiny.yaml texts
expect_line 'not cached'
expect_line 'texts.txt'

run "without stages" why tiny.yaml chatt
expect_error 2 "no stage 'chatt'"
expect_line "did you mean 'chat'"
finish
