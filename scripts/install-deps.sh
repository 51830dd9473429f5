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
 libcmocka-dev libjs-chart.js
 apt-utils mandoc xz-utils ca-certificates"
[ "${1:-}" = lint ] && packages="$packages clang clang-format cppcheck shellcheck git"
[ "${1:-}" = mpi ] && packages="$packages libopenmpi-dev openmpi-bin"
# Left out where the distribution does not have them: other makers of matrix products than Instar's own kernels. oneDNN
# also drives AMX. The build needs oneDNN's header; both libraries are loaded when a program wants them.
optional="libdnnl-dev libopenblas0"

# Those that are not installed. One line per package that is there; a package that apt has never heard of is an error
# message on stderr only.
absent() {
    present=$(dpkg-query -W -f='${Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^install ok installed //p' || true)
    for package in "$@"; do
        printf '%s\n' "$present" | grep -qx "$package" || printf ' %s' "$package"
    done
}
# Those that apt could install.
offered() {
    for package in "$@"; do
        if apt-cache show "$package" >/dev/null 2>&1; then printf ' %s' "$package"; fi
    done
}
# shellcheck disable=SC2086 # lists of packages are meant, here and below
missing=$(absent $packages)
# shellcheck disable=SC2086
extra=$(absent $optional)
# shellcheck disable=SC2086
[ -z "$missing" ] && extra=$(offered $extra)
[ -z "$missing$extra" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: this needs a Debian-like system with apt-get; install by hand:$missing" >&2
    exit 4
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        [ -z "$missing" ] && exit 0
        echo "install-deps: not root and no sudo; run as root: apt-get install$missing" >&2
        exit 4
    }
    sudo="sudo"
fi
# apt's output is shown only where it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    echo "installing: $*" >&2
    # shellcheck disable=SC2086 # $sudo may be nothing
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
        install -y --no-install-recommends "$@" </dev/null >"$log" 2>&1
}
# A list that can't be refreshed (some third party's, say) is no reason to stop: installing decides.
# shellcheck disable=SC2086
$sudo apt-get -q update </dev/null >"$log" 2>&1 || cat "$log" >&2
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install $missing || {
        cat "$log" >&2
        echo "install-deps: apt-get could not install:$missing" >&2
        exit 4
    }
fi
# shellcheck disable=SC2086
extra=$(offered $extra)
[ -z "$extra" ] && exit 0
# shellcheck disable=SC2086
install $extra || echo "install-deps: could not install:$extra; Instar works without" >&2
