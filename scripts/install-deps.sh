#!/bin/sh
# Installs what the build, the tests and the demo need from the distribution. Idempotent and non-interactive: does nothing
# when all is there. Uses sudo where not root.
set -eu

packages="build-essential cmake ninja-build pkg-config
 libfyaml-dev libjansson-dev libsqlite3-dev libxxhash-dev libzstd-dev zlib1g-dev liblzma-dev libutf8proc-dev libssl-dev
 libdnnl-dev libopenblas-dev libcmocka-dev libjs-chart.js
 apt-utils mandoc xz-utils ca-certificates"
# Only `make lint` and `make fmt` need these.
[ "${1:-}" = lint ] && packages="$packages clang clang-format cppcheck shellcheck"

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    case "$status" in
    "install ok installed") ;;
    *) missing="$missing $package" ;;
    esac
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
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get -q update >/dev/null
# shellcheck disable=SC2086 # a list of packages is meant
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing >/dev/null
