#!/bin/sh
# Make a virtual environment at $1 with $PYTHON, or with the first Python >= 3.11 found.
# Debian keeps `venv` in a package of its own: root with apt installs it, anyone else is told the one command.
set -eu
target=$1

recent() {
  command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    if recent "$candidate"; then
      echo "$candidate"
      return
    fi
  done
}

python=$(find_python)
if [ -z "$python" ]; then
  echo "tutti needs Python 3.11 or newer; looked for: ${PYTHON:-python3, python3.11 to python3.14}." >&2
  echo "Install one and name it: make setup PYTHON=/path/to/python3.12" >&2
  exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && apt-get install -y -qq "$package"
  else
    echo "This Python has no venv module. Run: sudo apt-get install $package" >&2
    exit 1
  fi
fi

# one that was interrupted before pip came is made again
[ -x "$target/bin/python" ] && recent "$target/bin/python" && "$target/bin/python" -m pip --version >/dev/null 2>&1 ||
  "$python" -m venv --clear "$target"
