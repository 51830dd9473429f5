#!/bin/sh
# Installs what the build, the tests and the demo need from the distribution. Idempotent and non-interactive: does
# nothing when all is there. Uses sudo where not root.
#
#   install-deps.sh         build, tests, demo
#   install-deps.sh lint    also what `make lint` and `make fmt` need
#   install-deps.sh mpi     also Open MPI, for runs of several processes (found by the next build from nothing)
set -eu

# gcc and the rest of the tool chain; libraries; Chart.js for the report; what the readers of the demo call: mandoc for
# manual pages, apt's own download helpers (apt-utils, certificates), xz for the size that a claim is compared with.
packages="gcc libc6-dev make cmake ninja-build pkg-config
 libfyaml-dev libjansson-dev libsqlite3-dev libxxhash-dev libzstd-dev zlib1g-dev liblzma-dev libutf8proc-dev libssl-dev
 libdnnl-dev libcmocka-dev libjs-chart.js
 apt-utils mandoc xz-utils ca-certificates"
[ "${1:-}" = lint ] && packages="$packages clang clang-format cppcheck shellcheck git"
[ "${1:-}" = mpi ] && packages="$packages libopenmpi-dev openmpi-bin"

# One line per package that is there; a package that apt has never heard of is an error message on stderr only.
# shellcheck disable=SC2086 # a list of packages is meant
present=$(dpkg-query -W -f='${Status} ${Package}\n' $packages 2>/dev/null | sed -n 's/^install ok installed //p' || true)
missing=""
for package in $packages; do
    printf '%s\n' "$present" | grep -qx "$package" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: this needs a Debian-like system with apt-get; install by hand:$missing" >&2
    exit 4
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "install-deps: not root and no sudo; run as root: apt-get install$missing" >&2
        exit 4
    }
    sudo="sudo"
fi
echo "installing:$missing" >&2
# apt's output is shown only where it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" </dev/null >"$log" 2>&1 || {
        cat "$log" >&2
        echo "install-deps: '$*' failed" >&2
        exit 4
    }
}
# A list that can't be refreshed (some third party's, say) is no reason to stop: installing decides.
$sudo apt-get -q update </dev/null >"$log" 2>&1 || cat "$log" >&2
# shellcheck disable=SC2086 # a list of packages is meant
quietly $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
    install -y --no-install-recommends $missing
