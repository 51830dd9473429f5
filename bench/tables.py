#!/usr/bin/env python3
"""Markdown tables of the documentation, from benchmark results.

    bench/tables.py --instar build/instar        run the benchmarks and print the tables
    bench/tables.py RESULT.json...               tables of results that were written with --json: of bench train,
                                                 bench kernels, bench/peers/run.py
    ... --write docs/performance.md README.md    put them into files, between <!-- NAME --> and <!-- /NAME -->
"""
import argparse
import json
import re
import subprocess
import sys


def table(heads, align, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join("---:" if a == "r" else "---" for a in align) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def thousands(value, digits=0):
    return "{:,.{}f}".format(value, digits)


def ranged(values, digits):
    return "%s (%s to %s)" % tuple(thousands(values[name], digits) for name in ("median", "min", "max"))


def train_table(documents):
    rows = [[d["config"] or d["model"], d["dtype"], ranged(d["ms"], 0), thousands(d["tokens_per_s"]),
             thousands(d["gflops"]), thousands(d["peak_gflops"]), thousands(d["update_gbs"]),
             thousands(d["bound_ms"]), ranged(d["ratios"], 2), thousands(d["peak_rss_bytes"] / 1e6)]
            for d in documents]
    return "%s, %d threads.\n\n%s" % (documents[0]["chip"], documents[0]["threads"], table(
        ["config", "type", "ms a step", "tokens/s", "GFLOP/s", "peak", "GB/s", "bound, ms", "ratio", "MB"],
        "llrrrrrrrr", rows))


def kernels_table(document):
    """Rows of one op that differ in shape only are put together; the rest is dropped where it takes no time."""
    parts = []
    for group, title in (("step", "Ops of the training step"), ("other", "Other ops, at the same shape")):
        ops = {}
        for row in document["rows"]:
            if row["group"] == group:
                ops.setdefault((row["op"], row["dtype"]), []).append(row)
        total = sum(row["ms"] * row["calls"] for rows in ops.values() for row in rows)
        rows = []
        for (op, dtype), members in ops.items():
            ms = sum(row["ms"] * row["calls"] for row in members)
            bound = sum(row["bound_ms"] * row["calls"] for row in members)
            ratios = [row["ratio"] for row in members if row["ms"] * row["calls"] > 0.02 * ms]
            rows.append((ms, [op, dtype, str(sum(row["calls"] for row in members)), thousands(ms, 2),
                              thousands(bound, 2), thousands(ms / bound, 2),
                              "%.2f to %.2f" % (min(ratios), max(ratios)) if len(ratios) > 1 else "",
                              "%.1f" % (100 * ms / total), members[0]["implementation"]]))
        rows.sort(key=lambda row: -row[0])
        parts.append("%s, %s, %s:\n\n%s" % (title, document["config"], document["dtype"], table(
            ["op", "type", "calls", "ms", "bound", "ratio", "by shape", "%", "by"], "llrrrrrrl",
            [row for _, row in rows])))
    return "\n\n".join(parts)


def case_name(case):
    return case["config"] or case["model"]


def cases_of(documents):
    return [case for document in documents for case in document.get("cases", []) if case["programs"]]


def peers_table(cases):
    rows = []
    for case in cases:
        for program in case["programs"]:
            own = program["name"] == "Instar"
            rows.append([case_name(case), case["dtype"], (program["name"] + " " + program["version"]).strip(),
                         ranged(program["ms"], 0), "" if own else ranged(program["times_instar"], 2),
                         ranged(program["times_bound"], 2), thousands(program["peak_rss_bytes"] / 1e6),
                         "" if own else "%.2f" % program["instar_rss_share"]])
    return "%s, %d rounds.\n\n%s" % (cases[0]["chip"], len(cases[0]["programs"][0]["rounds"]), table(
        ["config", "type", "program", "ms a step", "times Instar", "times the bound", "MB", "Instar's share of it"],
        "lllrrrrr", rows))


def summary_table(cases):
    """A line a case: Instar, and the fastest of the other programs."""
    rows = []
    for case in cases:
        own = [program for program in case["programs"] if program["name"] == "Instar"][0]
        others = [program for program in case["programs"] if program is not own]
        best = min(others, key=lambda program: program["times_instar"]["median"]) if others else None
        rows.append([case_name(case), case["dtype"], thousands(own["ms"]["median"]),
                     "%.2f" % own["times_bound"]["median"], thousands(own["peak_rss_bytes"] / 1e6),
                     ("%.2f x %s" % (best["times_instar"]["median"], best["name"])) if best else "",
                     ("%.2f" % best["instar_rss_share"]) if best else ""])
    return table(["config", "type", "ms a step", "times the bound", "MB", "as fast as the next program",
                  "memory, of the next program's"], "llrrrrr", rows)


def tables_of(documents):
    """Name -> text."""
    train = [d for d in documents if "bound_ms" in d]
    cases = cases_of(documents)
    tables = {"train": train_table(train)} if train else {}
    for document in documents:
        if "rows" in document:
            tables["kernels " + document["dtype"]] = kernels_table(document)
    if cases:
        tables["peers"], tables["summary"] = peers_table(cases), summary_table(cases)
    return tables


def write(path, tables):
    with open(path) as file:
        text = file.read()
    for name, content in tables.items():
        marks = re.compile("(<!-- %s -->\n).*?(<!-- /%s -->)" % (re.escape(name), re.escape(name)), re.S)
        text = marks.sub(lambda match: match.group(1) + content + "\n" + match.group(2), text)
    with open(path, "w") as file:
        file.write(text)


def run(program, *words):
    print("instar bench " + " ".join(words), file=sys.stderr)
    done = subprocess.run([program, "bench", *words, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--instar", help="run this program's benchmarks")
    parser.add_argument("--write", nargs="+", default=[], metavar="FILE", help="files that have places for them")
    parser.add_argument("results", nargs="*", help="files with results")
    options = parser.parse_args()
    documents = []
    for path in options.results:
        with open(path) as file:
            value = json.load(file)
        documents += value if isinstance(value, list) else [value]
    if options.instar:
        for dtype in ("f32", "auto"):
            documents += run(options.instar, "train", "--config", "all", "--dtype", dtype)
        for dtype in ("f32", "auto"):
            documents.append(run(options.instar, "kernels", "--config", "D", "--dtype", dtype))
    if not documents:
        parser.error("no results: give files, or --instar PROGRAM")
    tables = tables_of(documents)
    for path in options.write:
        write(path, tables)
    if not options.write:
        print("\n\n".join("%s\n\n%s" % item for item in tables.items()))


if __name__ == "__main__":
    main()
