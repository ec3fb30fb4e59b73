#!/bin/sh
# Says in one sentence each what `make setup` needs and does not find.
# Usage: PYTHON=python3.11 CXX=g++ scripts/check_tools.sh; exit status 1 when something is missing.
# A shell script, because the missing tool may be Python.
set -u

python=${PYTHON:-python3.11}
cxx=${CXX:-g++}
missing=0

complain() {
    echo "make setup: $1" >&2
    missing=1
}

# at_least MAJOR.MINOR FOUND: is FOUND that version or newer?
at_least() {
    echo "$1 $2" | awk '{ split($1, want, "."); split($2, got, ".")
        exit !(got[1] > want[1] || (got[1] == want[1] && got[2] + 0 >= want[2] + 0)) }'
}

if ! command -v "$python" >/dev/null 2>&1; then
    complain "Python 3.11 is missing, got no '$python', expected Python 3.11; install it (Debian: python3.11 python3.11-venv) or name it with make setup PYTHON=/path/to/python3.11"
else
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    if [ "$found" != 3.11 ]; then
        complain "'$python' is not the right Python, got ${found:-no version}, expected 3.11; install Python 3.11 or name it with make setup PYTHON=/path/to/python3.11"
    elif ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        complain "'$python' cannot make virtual environments, got no module venv or ensurepip, expected both; install them (Debian: python3.11-venv)"
    elif ! "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
        complain "the headers of '$python' are missing, got no Python.h, expected it; install them (Debian: python3.11-dev)"
    fi
fi

if ! command -v "$cxx" >/dev/null 2>&1; then
    complain "the C++ compiler is missing, got no '$cxx', expected g++ 11 or newer; install it (Debian: g++) or name it with make setup CXX=/path/to/g++"
else
    found=$("$cxx" -dumpfullversion -dumpversion 2>/dev/null)
    if ! at_least 11.0 "${found:-0}"; then
        complain "the C++ compiler '$cxx' is too old, got ${found:-no version}, expected 11 or newer (C++20); install a newer g++ or name it with make setup CXX=/path/to/g++"
    fi
fi

if ! command -v cmake >/dev/null 2>&1; then
    complain "cmake is missing, got none, expected 3.25 or newer; install it (Debian: cmake; or pip install cmake)"
else
    found=$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
    if ! at_least 3.25 "${found:-0}"; then
        complain "cmake is too old, got ${found:-no version}, expected 3.25 or newer; install a newer one (Debian: cmake; or pip install cmake)"
    fi
fi

exit $missing
