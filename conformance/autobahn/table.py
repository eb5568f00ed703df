#!/usr/bin/env python3
"""Count what came out on each server, and list what did not come out as it has to.

    table.py FOLDER SERVER...     reads FOLDER/SERVER, which fuzz.py has written

Exit status: 0 if all is well; 1 if a case came out otherwise than it has to; 2 if a case
that had to run is missing, or the suite itself broke.
"""
import collections
import json
import os
import re
import sys

# What a server does in these is left to it, and the suite only notes it down.
LEFT_TO_THE_SERVER = {"7.1.6", "7.13.1", "7.13.2"}
# In these servers' connections the suite may end TCP first, which it notes as a fault of neither verdict nor code: it
# waits for half a second in many cases, and actix-web ends TCP up to a second after the closing handshake.
MAY_END_LATE = {"actix"}
COLUMNS = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED"]

folder, *servers = sys.argv[1:]


def load(*path):
    with open(os.path.join(folder, *path), encoding="utf-8") as f:
        return json.load(f)


def number(case):
    return [int(part) for part in case.split(".")]


def faults(server):
    """The counts of a server, what came out wrong, and what is wrong with the run."""
    wrong, broken, late = [], [], 0
    expected = load(server, "expected.json")
    try:
        cases = load(server, "index.json").get(server, {})
    except (OSError, ValueError) as e:
        return {}, [], ["no report: %s" % e], 0
    counts = collections.Counter()
    for case in sorted(cases, key=number):
        found = cases[case]
        counts[found["behavior"]] += 1
        right = "INFORMATIONAL" if case in LEFT_TO_THE_SERVER else "OK"
        if (found["behavior"], found["behaviorClose"]) == (right, right):
            continue
        if (found["behavior"], found["behaviorClose"]) == (right, "FAILED BY CLIENT") and server in MAY_END_LATE:
            late += 1
            continue
        detail = load(server, found["reportfile"])
        why = detail["result"] if found["behavior"] != right else detail["resultClose"]
        wrong.append("%-7s %s, close %s: %s" % (case, found["behavior"], found["behaviorClose"], " ".join(why.split())[:150]))
        if "ERROR INSIDE THE TEST SUITE" in detail["result"]:
            broken.append("the suite broke in %s" % case)
    missing = sorted(set(expected) - set(cases), key=number)
    if missing:
        broken.append("%d of %d cases did not run: %s" % (len(missing), len(expected), " ".join(missing[:20])))
    with open(os.path.join(folder, server, "wstest.log"), encoding="utf-8", errors="replace") as f:
        for found in re.findall(r"^Connection to .* failed .*$|^Traceback.*(?:\n[ \t].*)*\n.*$", f.read(), re.M)[:3]:
            broken.append("wstest.log: " + found.strip().split("\n")[-1].strip())
    return counts, wrong, broken, late


found = {server: faults(server) for server in servers}
columns = [c for c in COLUMNS if c in COLUMNS[:2] or any(counts.get(c) for counts, *_ in found.values())]
print("\n%-8s %s %14s" % ("server", " ".join("%14s" % c for c in columns), "cases"))
for server, (counts, *_) in found.items():
    print("%-8s %s %14d" % (server, " ".join("%14d" % counts.get(c, 0) for c in columns), sum(counts.values())))
for server, (_, wrong, broken, late) in found.items():
    for line in wrong + broken:
        print("%-8s %s" % (server, line))
    if late:
        print("%-8s in %d cases the suite ended TCP before the server did" % (server, late))
print("\nreports: %s" % " ".join(os.path.join(folder, server, "index.html") for server in servers))
sys.exit(2 if any(f[2] for f in found.values()) else 1 if any(f[1] for f in found.values()) else 0)
