#!/usr/bin/env python3
"""Instar beside other programs on the same training steps, in interleaved rounds: Instar, peer, peer, Instar, peer, ...

A machine changes its speed, so every ratio is formed inside of one round, between runs that stand next to each other.
Programs are given by path; the absent are reported as absent. Each runs in a process of its own, through a script of
this folder. What a run reports is its median step; what a table shows is the median of the rounds, and their range.

    bench/peers/run.py --instar build/instar --python venv/bin/python --llmc ~/llm.c/train_gpt2 --configs AD --rounds 5
"""
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


class Absent(Exception):
    """Why a program can't take part."""


class Case:
    """One model, shape and type of products: what all programs train."""

    def __init__(self, model, config, dtype):
        self.model, self.config, self.dtype = model, config, dtype

    def __str__(self):
        return " ".join(part for part in (self.model, self.config, self.dtype) if part)


class Instar:
    name = "Instar"

    def __init__(self, options):
        self.program, self.options = options.instar, options
        if not os.access(self.program, os.X_OK):
            sys.exit("%s: no program; run 'make' first" % self.program)

    def command(self, case):
        words = [self.program, "bench", "train", "--json", "--model", case.model, "--dtype", case.dtype,
                 "--steps", str(self.options.steps), "--rounds", "1", "--threads", str(self.options.threads)]
        return words + (["--config", case.config] if case.config else [])

    @staticmethod
    def read(document):
        return {"ms": document["ms"]["median"], "best": document["ms"]["min"], "rss": document["peak_rss_bytes"],
                "bound_ms": document["rounds"][0]["bound_ms"], "chip": document["chip"],
                "peak_gflops": document["peak_gflops"], "update_gbs": document["update_gbs"], "version": ""}


class Script:
    """A peer that is run by a script of this folder."""

    def __init__(self, options):
        self.options = options

    @staticmethod
    def read(document):
        return {"ms": statistics.median(document["ms"]), "best": min(document["ms"]),
                "rss": document["peak_rss_bytes"], "version": document["version"]}

    def common(self):
        return ["--steps", str(self.options.steps), "--threads", str(self.options.threads)]


class Torch(Script):
    name, extra = "PyTorch eager", []

    def __init__(self, options):
        super().__init__(options)
        if not options.python:
            raise Absent("no Python with PyTorch was given (PYTHON=path)")
        found = subprocess.run([options.python, "-c", "import torch"], capture_output=True)
        if found.returncode:
            raise Absent("%s has no PyTorch" % options.python)

    def command(self, case):
        words = [self.options.python, os.path.join(HERE, "torch_train.py"), "--model", case.model,
                 "--dtype", case.dtype] + self.common() + self.extra
        return words + (["--config", case.config] if case.config else [])


class TorchCompiled(Torch):
    name, extra = "PyTorch compiled", ["--compile", "--warmup", "3"]

    def __init__(self, options):
        if not options.compile:
            raise Absent("not asked for (COMPILE=1)")
        super().__init__(options)


class LlmC(Script):
    name = "llm.c"

    def __init__(self, options):
        super().__init__(options)
        path = options.llmc
        if not path:
            raise Absent("no program was given (LLMC=path of its train_gpt2)")
        self.program = os.path.join(path, "train_gpt2") if os.path.isdir(path) else path
        if not os.access(self.program, os.X_OK):
            raise Absent("%s is no program" % self.program)

    def command(self, case):
        if str(case) != "gpt2 A f32":
            return None  # its batch and type are fixed
        words = [sys.executable, os.path.join(HERE, "llmc_train.py"), self.program] + self.common()
        return words + (["--data", self.options.llmc_data] if self.options.llmc_data else [])


class LlamaCpp(Script):
    name = "llama.cpp"

    def __init__(self, options):
        super().__init__(options)
        path = options.llama
        if not path:
            raise Absent("no program was given (LLAMA=path of its llama-finetune)")
        self.program = os.path.join(path, "llama-finetune") if os.path.isdir(path) else path
        if not os.access(self.program, os.X_OK):
            raise Absent("%s is no program" % self.program)

    def command(self, case):
        if str(case) != "llama f32":
            return None  # the model that it can train
        return [sys.executable, os.path.join(HERE, "llama_train.py"), self.program] + self.common()


PEERS = (Torch, TorchCompiled, LlmC, LlamaCpp)


def run_once(program, case, prefix):
    """What one run reports, or None after saying why there is nothing."""
    done = subprocess.run(prefix + program.command(case), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        return program.read(json.loads(done.stdout))
    except (ValueError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["no output, exit code %d" % done.returncode]
        print("%s, %s: %s" % (program.name, case, last[0]), file=sys.stderr)
        return None


def run_case(case, programs, options):
    """Interleaved rounds. A round in which Instar has no result counts for nobody."""
    prefix, rounds = shlex.split(options.prefix), []
    taking_part = [program for program in programs if program.command(case)]
    for number in range(options.rounds):
        results = {}
        for program in taking_part:
            results[program.name] = run_once(program, case, prefix)
            text = "-" if not results[program.name] else "%.1f ms" % results[program.name]["ms"]
            print("%s, round %d of %d: %s %s" % (case, number + 1, options.rounds, program.name, text),
                  file=sys.stderr, flush=True)
        if results[Instar.name]:
            rounds.append(results)
    return summary(case, taking_part, rounds)


def summary(case, programs, rounds):
    rows = []
    for program in programs:
        pairs = [(r[Instar.name], r[program.name]) for r in rounds if r[program.name]]
        if not pairs:
            continue
        rows.append({
            "name": program.name,
            "version": pairs[0][1]["version"],
            "rounds": [own["ms"] for _, own in pairs],
            "best_ms": min(own["best"] for _, own in pairs),
            "ms": spread([own["ms"] for _, own in pairs]),
            "times_instar": spread([own["ms"] / instar["ms"] for instar, own in pairs]),
            "times_bound": spread([own["ms"] / instar["bound_ms"] for instar, own in pairs]),
            "peak_rss_bytes": statistics.median(own["rss"] for _, own in pairs),
            "instar_rss_share": statistics.median(instar["rss"] / own["rss"] for instar, own in pairs),
        })
    result = {"model": case.model, "config": case.config, "dtype": case.dtype, "programs": rows}
    if rounds:
        own = [r[Instar.name] for r in rounds]
        result["chip"] = own[0]["chip"]
        result["probes"] = {name: spread([r[name] for r in own]) for name in ("peak_gflops", "update_gbs", "bound_ms")}
    return result


def range_text(values, digits):
    return "%.*f [%.*f..%.*f]" % (digits, values["median"], digits, values["min"], digits, values["max"])


def print_case(result):
    title = " ".join(part for part in (result["model"], result["config"], result["dtype"]) if part)
    if "probes" not in result:
        print("%s: no round came to its end\n" % title)
        return
    probes = result["probes"]
    print("%s: bound %s ms (peak %s GFLOP/s, updates %s GB/s)" % (
        title, range_text(probes["bound_ms"], 0), range_text(probes["peak_gflops"], 0),
        range_text(probes["update_gbs"], 0)))
    print("  %-18s %-24s %9s  %-20s %-20s %9s %13s" % ("program", "ms a step", "best", "times Instar", "times bound",
                                                        "memory", "Instar's/its"))
    for row in result["programs"]:
        print("  %-18s %-24s %9.0f  %-20s %-20s %6.0f MB %13.2f" % (
            row["name"], range_text(row["ms"], 0), row["best_ms"], range_text(row["times_instar"], 2),
            range_text(row["times_bound"], 2), row["peak_rss_bytes"] / 1e6, row["instar_rss_share"]))
    print(flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--instar", default="build/instar", help="program; default build/instar")
    parser.add_argument("--python", help="Python that has PyTorch")
    parser.add_argument("--llmc", help="llm.c's train_gpt2, or the folder that has it")
    parser.add_argument("--llmc-data", help="folder for its random model (500 MB), kept; default a temporary one")
    parser.add_argument("--llama", help="llama.cpp's llama-finetune, or the folder that has it")
    parser.add_argument("--configs", default="ABCD", help="shapes of gpt2; default ABCD")
    parser.add_argument("--models", default="gpt2", help="of gpt2,llama,lstm,mlp; default gpt2")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each run")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compile", action="store_true", help="PyTorch with torch.compile too")
    parser.add_argument("--prefix", default="", help="words before every program: 'taskset -c 0,1'")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    if re.search("[^ABCD,]", options.configs) or options.rounds < 1 or options.steps < 1:
        parser.error("configurations are A, B, C and D; rounds and steps are at least 1")
    return options


def main():
    options = arguments()
    programs, absent = [Instar(options)], {}
    for peer in PEERS:
        try:
            programs.append(peer(options))
        except Absent as why:
            absent[peer.name] = str(why)
    cases = [Case(model, config, dtype) for model in options.models.split(",")
             for config in (options.configs.replace(",", "") if model == "gpt2" else [""])
             for dtype in options.dtypes.split(",")]
    if not options.json:
        for name, why in absent.items():
            print("%s is absent: %s" % (name, why))
        print()
    results = []
    for case in cases:
        results.append(run_case(case, programs, options))
        if not options.json:
            print_case(results[-1])
    if options.json:
        print(json.dumps({"rounds": options.rounds, "steps": options.steps, "threads": options.threads,
                          "absent": absent, "cases": results}, indent=1))


if __name__ == "__main__":
    main()
