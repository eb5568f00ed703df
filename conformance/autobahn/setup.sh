#!/usr/bin/env bash
# Build the Autobahn|Testsuite fuzzingclient for Python 3.11 from PyPI.
#
#   setup.sh DIR
#
# Leaves DIR/venv with a working `DIR/venv/bin/wstest -m fuzzingclient`.  Does nothing
# when DIR/venv is already complete for these very versions and this very patch.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: setup.sh DIR}
PY=${PYTHON:-python3.11}
SUITE=25.10.1
SUITE_SHA256=b083d6e15330fc16f3e5f0975cce2b15f21bfa0c6db09547316b1852c6dbd6df
DEPS=(
  autobahn==0.10.9        # the version that the suite itself pins
  txaio==2.1.0            # ditto
  twisted==26.10.0 zope.interface==8.7 incremental==24.11.0 constantly==23.10.4
  automat==25.4.16 hyperlink==21.0.0 idna==3.20 attrs==26.1.0 typing_extensions==4.16.0
  six==1.17.0
  wsaccel==0.6.7          # masking and UTF-8 checks in C; has a wheel for 3.11
)
BUILD=(setuptools==65.5.0 wheel==0.48.0 packaging==26.3)   # setuptools < 81: pkg_resources

"$PY" -W ignore -c 'import sys, lib2to3, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
  || { echo "setup: needs Python 3.11 with lib2to3 and venv, and $PY is not that (set PYTHON)" >&2; exit 1; }
mkdir -p "$dir"
stamp=$(printf '%s\n' "$SUITE" "${DEPS[@]}" "${BUILD[@]}" "$("$PY" -V)" "$(sha256sum < "$here/patch.py")" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/venv/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "setup: $dir/venv is up to date"
  exit 0
fi

rm -rf "$dir/venv" "$dir/sdist"
"$PY" -m venv "$dir/venv"
pip() { "$dir/venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
pip install "${BUILD[@]}"
pip install --no-build-isolation --no-deps "${DEPS[@]}"

mkdir -p "$dir/sdist"
pip download --no-deps --no-binary :all: --no-build-isolation -d "$dir/sdist" "autobahntestsuite==$SUITE"
tgz=$dir/sdist/autobahntestsuite-$SUITE.tar.gz
echo "$SUITE_SHA256  $tgz" | sha256sum -c --quiet
tar -xzf "$tgz" -C "$dir/sdist"

site=$("$dir/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$dir/venv/bin/python" "$here/patch.py" "$dir/sdist/autobahntestsuite-$SUITE/autobahntestsuite" "$site"
"$dir/venv/bin/python" -m compileall -q "$site/autobahntestsuite" "$site/autobahn/websocket"
cat > "$dir/venv/bin/wstest" <<SH
#!/bin/sh
exec "$dir/venv/bin/python" -W ignore -c 'import sys; sys.argv[0] = "wstest"; from autobahntestsuite.wstest import run; run()' "\$@"
SH
chmod +x "$dir/venv/bin/wstest"

# the real suite: 301 cases in 1-10 and 216 in 12-13; every payload constant is bytes
"$dir/venv/bin/python" -W ignore - <<'PY'
from autobahntestsuite.case import Cases
ids = [tuple(map(int, c.__name__[4:].split("_"))) for c in Cases]
a, b = sum(i[0] <= 10 for i in ids), sum(i[0] >= 12 for i in ids)
assert (len(set(ids)), a, b) == (517, 301, 216), (len(set(ids)), a, b)
for c in Cases:
    for k in dir(c):
        assert not k.startswith("PAYLOAD") or isinstance(getattr(c, k), bytes), (c, k)
print("setup: %d cases (%d in 1-10, %d in 12-13)" % (len(ids), a, b))
PY
echo "$stamp" > "$dir/venv/.stamp"
