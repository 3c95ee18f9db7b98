# Sourced by tools/test and tools/demo: makes the repository's own .venv with everything they need, once.
#
# Debian packages are installed when we are root; otherwise the exact command is printed and nothing is changed.
# A stamp in .venv remembers for which pyproject.toml the Python packages were installed, so a second run is quick.
# PYTHON chooses the interpreter (default: python3).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
REPOSITORY=$PWD
VENV=$REPOSITORY/.venv

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# ensure_debian_packages NAME…: installs what is missing.
ensure_debian_packages() {
  command -v dpkg-query >/dev/null || { say "no dpkg here: make sure you have the equivalents of $*"; return; }
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    fail "missing Debian packages. Run: sudo apt-get install -y ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  { apt-get install -y -qq "${missing[@]}" || { apt-get update -qq && apt-get install -y -qq "${missing[@]}"; }; } \
    >/dev/null || fail "apt-get could not install ${missing[*]}; its message is above"
}

# A C++ compiler of the system's is asked for by command, because g++, clang and versioned packages all do.
ensure_compiler() {
  command -v c++ >/dev/null || ensure_debian_packages g++
  command -v cmake >/dev/null || ensure_debian_packages cmake
  command -v ninja >/dev/null || ensure_debian_packages ninja-build
}

# For the tests of the report's page, which are skipped without one. Ubuntu has none as a package.
ensure_browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then return; fi
  done
  # A fresh container knows no packages before its lists are read.
  if [ "$(id -u)" -eq 0 ]; then apt-get update -qq >/dev/null 2>&1 || true; fi
  if apt-cache show chromium >/dev/null 2>&1; then
    ensure_debian_packages chromium
  else
    say "no browser: the tests of the report's page are skipped; install chromium or google-chrome to run them"
  fi
}

ensure_venv() {
  local python=${PYTHON:-python3}
  command -v "$python" >/dev/null || ensure_debian_packages python3
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' ||
    fail "expected Python 3.10 to 3.13, got $("$python" --version); set PYTHON=python3.11, for instance"
  [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && return
  say "making .venv"
  rm -rf "$VENV"
  "$python" -m venv "$VENV" 2>/dev/null || {
    ensure_debian_packages python3-venv python3-dev
    "$python" -m venv "$VENV" || fail "'$python -m venv' does not work"
  }
}

# install_package EXTRAS: the Python dependencies when pyproject.toml changed, and the package itself, built in place.
install_package() {
  local extras=$1 stamp=$VENV/.vialsight-$1 digest
  digest=$(sha256sum pyproject.toml | cut -d' ' -f1)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ]; then
    say "installing Python packages ($extras); a few minutes the first time"
    "$VENV/bin/python" - "$extras" >"$VENV/requirements.txt" <<'PYTHON' || fail "cannot read pyproject.toml"
import sys
try:
    import tomllib
except ImportError:  # Python 3.10: pip brings its own
    from pip._vendor import tomli as tomllib
with open("pyproject.toml", "rb") as file:
    table = tomllib.load(file)
print(*table["build-system"]["requires"], *table["project"]["dependencies"], sep="\n")
for extra in sys.argv[1].split(","):
    print(*table["project"]["optional-dependencies"][extra], sep="\n")
PYTHON
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$VENV/requirements.txt" ||
      fail "pip could not install the packages; its message is above"
    echo "$digest" >"$stamp"
  fi
  local sources=$VENV/.vialsight-sources
  digest=$(source_digest)
  if [ "$(cat "$sources" 2>/dev/null)" = "$digest" ]; then return; fi
  say "building and installing vialsight"
  local log=$VENV/build.log
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps . >"$log" 2>&1 ||
    { cat "$log" >&2; fail "the build failed; its log is above"; }
  echo "$digest" >"$sources"
}

# forget_build_without PROGRAM: what is installed was built before PROGRAM's library was there.
forget_build_without() {
  compgen -G "$VENV/lib/python3*/site-packages/vialsight/$1" >/dev/null || rm -f "$VENV/.vialsight-sources"
}

# source_digest: changes when anything does that the installed package is made of, the commit included.
source_digest() {
  {
    git rev-parse HEAD 2>/dev/null
    find cpp python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc' -not -name '*.so' -print0 |
      LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum
}

export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
