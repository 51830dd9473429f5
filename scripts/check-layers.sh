#!/bin/sh
# Who may include whom: reads the table of src/README.md and checks every #include "room/..." of src/.
set -eu
cd "$(dirname "$0")/.."
# shellcheck disable=SC2016 # awk's dollars, not the shell's
find src -name '*.c' -o -name '*.h' | sort | xargs awk '
FNR == NR {
    if ($0 ~ /←/) {
        split($0, side, "←"); room = side[1]; gsub(/[ \t]/, "", room)
        known[room] = 1; n = split(side[2], part, /[ \t]+/)
        allowed[room, room] = 1; allowed[room, "base"] = 1
        if (side[2] ~ /include\/instar only/) { delete allowed[room, "base"]; public_only[room] = 1 }
        else for (i = 1; i <= n; i++) if (part[i] != "") allowed[room, part[i]] = 1
    }
    next
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split(FILENAME, path, "/"); room = path[2]
    if (room ~ /\./) next                       # src/registry.c: names the families
    split($0, quoted, "\""); target = quoted[2]
    split(target, place, "/"); other = place[1]
    if (target !~ /\//) next                     # a file of the same folder
    if (other == "instar") { next }
    if (target == "registry.def") next
    if (!(room in known)) { print FILENAME ": room " room " is not in src/README.md"; bad = 1; next }
    if (!((room, other) in allowed)) { print FILENAME ":" FNR ": " room " may not include " target; bad = 1 }
}
END { exit bad }
' src/README.md
echo "layers: fine"
