#!/bin/sh
# Installs or removes the service; called by `make install` and `make uninstall`, with their settings:
#   PREFIX   where the program goes                           DESTDIR  put before every path (for packages); no systemctl
#   PYTHON   interpreter, 3.11 or newer                       EXTRAS   of the package: opcua, scale ...
#   SOURCE   what pip installs: this checkout, or a wheel     PIP_OPTIONS  further options of pip install
#   PURGE    1: uninstall also removes configuration, token, journal and trends
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${PREFIX:=/opt/scowl-edge}" "${DESTDIR:=}" "${PYTHON:=python3}" "${SOURCE:=$(cd "$here/../.." && pwd)}"
: "${EXTRAS=opcua}" "${PIP_OPTIONS:=}" "${PURGE:=0}"
program=$DESTDIR$PREFIX
settings=$DESTDIR/etc/scowl-edge
units=$DESTDIR/etc/systemd/system
link=$DESTDIR/usr/local/bin/scowl-edge
mark=.installed-by-make

fail() {
    echo "scowl-edge: $1" >&2
    exit 1
}

manager() { # systemctl, where systemd runs and this is about the running system
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then systemctl "$@"; fi
}

check_place() {
    case $PREFIX in
    /*/*) ;;
    *) fail "PREFIX=$PREFIX would be removed as a whole by make uninstall; name a folder of its own, e.g. /opt/scowl-edge" ;;
    esac
    if [ -z "$DESTDIR" ] && [ "$(id -u)" -ne 0 ]; then
        fail "$1 changes $PREFIX, /etc and systemd: run it as root (or with DESTDIR=FOLDER to make a package)"
    fi
    if [ -e "$program" ] && [ ! -e "$program/$mark" ]; then
        fail "$program is there and is not of make install's making; move it away or name another PREFIX"
    fi
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "needs Python 3.11 or newer; $PYTHON is not. Name one: make install PYTHON=/usr/bin/python3"
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$PYTHON cannot make virtual environments; on Debian and its kin: apt-get install python3-venv"
    base=$("$PYTHON" -c 'import sys; print(sys.base_prefix)')
    case $base/ in
    /home/* | /root/* | /run/user/*)
        fail "the service sees no home folders, and $PYTHON is at home in $base; try make install PYTHON=/usr/bin/python3"
        ;;
    esac
}

pip_install() {
    PIP_ROOT_USER_ACTION=ignore "$program.new/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-warn-script-location "$@"
}

# The new program is made beside the old one and takes its place in the end: where pip fails, nothing has changed.
install_program() {
    rm -rf "$program.new"
    mkdir -p "$(dirname "$program")"
    version='import sys; print(sys.base_prefix, sys.version)'
    if [ -e "$program" ] && [ "$("$program/bin/python" -c "$version" 2>/dev/null)" = "$("$PYTHON" -c "$version")" ]; then
        cp -a "$program" "$program.new"
    else
        "$PYTHON" -m venv "$program.new"
    fi
    # shellcheck disable=SC2086 # options are words
    pip_install $PIP_OPTIONS "$SOURCE${EXTRAS:+[$EXTRAS]}"
    case $SOURCE in # pip takes a wheel of the version that is there for the same, whatever it holds
    *.whl) [ ! -e "$program" ] || pip_install --force-reinstall --no-deps "$SOURCE" ;;
    esac
    # Scripts name the interpreter that they were made for.
    grep -lIr -e "$program.new" -e "$program/" "$program.new/bin" "$program.new/pyvenv.cfg" 2>/dev/null |
        while read -r file; do sed -i -e "s|$program.new|$PREFIX|g" -e "s|$program/|$PREFIX/|g" "$file"; done
    mkdir -p "$program.new/share/doc" "$program.new/share/drop-ins"
    cp "$here"/drop-ins/*.conf "$program.new/share/drop-ins/"
    for page in service operation configuration; do cp "$here/../../docs/$page.md" "$program.new/share/doc/"; done
    touch "$program.new/$mark"
    chmod -R a+rX "$program.new"
    rm -rf "$program.old"
    if [ -e "$program" ]; then mv "$program" "$program.old"; fi
    mv "$program.new" "$program"
    rm -rf "$program.old"
}

install_settings() {
    mkdir -p "$settings"
    chmod 755 "$settings"
    if [ ! -e "$settings/site.yaml" ]; then
        cp "$here/site.yaml" "$settings/site.yaml"
        chmod 644 "$settings/site.yaml"
    fi
    if [ ! -e "$settings/token" ]; then
        (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$settings/token.new" && echo >>"$settings/token.new")
        mv "$settings/token.new" "$settings/token"
    fi
}

install_unit() {
    mkdir -p "$units" "$(dirname "$link")"
    sed "s|/opt/scowl-edge|$PREFIX|g" "$here/scowl-edge.service" >"$units/scowl-edge.service.new"
    chmod 644 "$units/scowl-edge.service.new"
    mv "$units/scowl-edge.service.new" "$units/scowl-edge.service"
    if [ -L "$link" ] || [ ! -e "$link" ]; then ln -sfn "$PREFIX/bin/scowl-edge" "$link"; fi
    manager daemon-reload
}

case ${1:-} in
install)
    check_place "make install"
    check_python
    [ ! -e "$program" ] || upgrade=1
    install_program
    install_settings
    install_unit
    if [ -n "${upgrade:-}" ]; then
        echo "scowl-edge is upgraded in $PREFIX; configuration and token are as they were. What runs is still the old one:"
        echo "  scowl-edge check /etc/scowl-edge/site.yaml && systemctl restart scowl-edge"
    else
        echo "scowl-edge is installed in $PREFIX; nothing runs yet. Next:"
        echo "  1. describe your site:   editor /etc/scowl-edge/site.yaml"
        echo "  2. check it:             scowl-edge check /etc/scowl-edge/site.yaml --cost"
        echo "  3. start it, for good:   systemctl enable --now scowl-edge"
        echo "  4. look at it:           systemctl status scowl-edge; journalctl -u scowl-edge -f; http://127.0.0.1:8080"
        echo "Orders need the token in /etc/scowl-edge/token. More: $PREFIX/share/doc/service.md"
    fi
    ;;
uninstall)
    check_place "make uninstall"
    if [ -e "$units/scowl-edge.service" ]; then manager disable --now scowl-edge.service; fi
    if [ "$(readlink "$link" 2>/dev/null)" = "$PREFIX/bin/scowl-edge" ]; then rm -f "$link"; fi
    rm -f "$units/scowl-edge.service"
    rm -rf "$program" "$program.new" "$program.old"
    manager daemon-reload
    if [ "$PURGE" = 1 ]; then
        rm -rf "$settings" "$units/scowl-edge.service.d" "$DESTDIR/var/cache/scowl-edge" "$DESTDIR/var/cache/private/scowl-edge"
        rm -rf "$DESTDIR/var/lib/scowl-edge" "$DESTDIR/var/lib/private/scowl-edge"
        echo "scowl-edge is removed, with its configuration, token, journal and trends."
    else
        echo "scowl-edge is removed. Kept: /etc/scowl-edge, /var/lib/scowl-edge (make uninstall PURGE=1 removes them too)."
    fi
    ;;
*) fail "say install or uninstall; better, make install or make uninstall" ;;
esac
