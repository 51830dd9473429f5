#!/bin/sh
# As fault_resume.sh, with 20 kills of each stage kind.
INSTAR_FAULT_KILLS=20
export INSTAR_FAULT_KILLS
exec sh "$(dirname "$0")/fault_resume.sh" "$@"
