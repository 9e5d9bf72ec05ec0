#!/bin/sh
# What some tests need from the system, on Debian and its kin: the Modbus client and library, a serial line, a judge of
# what is on the wire, Prometheus, a browser, a packet filter.
# As root it installs what is missing; as anybody else it says what to run once, and those tests are skipped.
set -eu

missing=""
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v mbpoll >/dev/null 2>&1 || missing="$missing mbpoll"
command -v socat >/dev/null 2>&1 || missing="$missing socat"
command -v tshark >/dev/null 2>&1 || missing="$missing tshark"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
if ! pkg-config --exists libmodbus 2>/dev/null; then missing="$missing libmodbus-dev"; fi
# A booted systemd in a container (tests/system/boxed), and an interpreter below /usr for what is installed there.
{ command -v systemd-nspawn && [ -e /usr/lib/systemd/system/dbus.service ]; } >/dev/null 2>&1 || missing="$missing systemd systemd-container dbus"
command -v nft >/dev/null 2>&1 || missing="$missing nftables"
command -v ss >/dev/null 2>&1 || missing="$missing iproute2"
found=""
for python in /usr/local/bin/python3 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$python; fi
done
[ -n "$found" ] || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Some tests are skipped: they need$missing, by whatever name your system has for them."
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Some tests are skipped. To run them too, run once as root: apt-get install -y --no-install-recommends$missing"
    exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word a package
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "The packages$missing could not be installed; the tests that need them are skipped." >&2
    [ "${SCOWL_REQUIRE_ALL:-0}" != 1 ] || exit 1
fi
