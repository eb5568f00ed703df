#!/usr/bin/env python3
"""Let the suite's fuzzingclient loose on one server.

    fuzz.py NAME URL REPORTS CASE...

Leaves in REPORTS what the suite writes (index.json, index.html, a JSON and an HTML file
for each case), wstest.log, and expected.json: the cases that had to run.
"""
import json
import os
import signal
import subprocess
import sys
import time

from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet

LIMIT = 1500  # seconds; a run takes a few minutes where nothing hangs
# How long the server may take to close TCP after the closing handshake. The suite's own second is just what actix-web
# takes by default, so that chance would decide.
OPTIONS = {"serverConnectionDropTimeout": 3}

name, url, out, *patterns = sys.argv[1:]
suite = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
wanted = suite.parseSpecCases({"cases": patterns, "exclude-cases": []})
unknown = [case for case in wanted if case not in suite.CasesById]
if unknown or not wanted:
    print("fuzz: no such case: %s" % (", ".join(unknown) or " ".join(patterns)), file=sys.stderr)
    sys.exit(64)
with open(os.path.join(out, "expected.json"), "w") as f:
    json.dump(wanted, f)
spec = os.path.join(out, "spec.json")
with open(spec, "w") as f:
    json.dump({"outdir": out, "servers": [{"agent": name, "url": url}], "cases": wanted,
               "options": OPTIONS, "exclude-cases": [], "exclude-agent-cases": {}}, f)

print("%s: %d cases" % (name, len(wanted)), end="", flush=True)
start = time.time()
wstest = os.path.join(os.path.dirname(sys.executable), "wstest")
with open(os.path.join(out, "wstest.log"), "w") as log:
    client = subprocess.Popen([wstest, "-m", "fuzzingclient", "-s", spec],
                              stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        client.wait(LIMIT)
    except BaseException as e:
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
        if not isinstance(e, subprocess.TimeoutExpired):
            raise
        print(", given up", end="")
print(" in %.1f s" % (time.time() - start))
