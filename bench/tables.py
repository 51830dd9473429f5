#!/usr/bin/env python3
"""Markdown tables of docs/performance.md, from benchmark results.

    bench/tables.py --instar build/instar            runs the benchmarks and prints the tables
    bench/tables.py RESULT.json...                   tables of results that were written with --json:
                                                     bench train, bench kernels, bench/peers/run.py
"""
import argparse
import json
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


def peers_table(document):
    rows = []
    for case in document["cases"]:
        name = " ".join(part for part in (case["model"] if not case["config"] else "", case["config"]) if part)
        for program in case["programs"]:
            own = program["name"] == "Instar"
            rows.append([name, case["dtype"], (program["name"] + " " + program["version"]).strip(),
                         ranged(program["ms"], 0), "" if own else ranged(program["times_instar"], 2),
                         ranged(program["times_bound"], 2), thousands(program["peak_rss_bytes"] / 1e6),
                         "" if own else "%.2f" % program["instar_rss_share"]])
    return table(["config", "type", "program", "ms a step", "times Instar", "times the bound", "MB",
                  "Instar's / its"], "lllrrrrr", rows)


def tables_of(documents):
    train = [d for d in documents if "rounds" in d and "cases" not in d]
    parts = [train_table(train)] if train else []
    parts += [kernels_table(d) for d in documents if "rows" in d]
    parts += [peers_table(d) for d in documents if "cases" in d]
    return "\n\n".join(parts)


def run(program, *words):
    print("instar bench " + " ".join(words), file=sys.stderr)
    done = subprocess.run([program, "bench", *words, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--instar", help="run this program's benchmarks")
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
    print(tables_of(documents))


if __name__ == "__main__":
    main()
