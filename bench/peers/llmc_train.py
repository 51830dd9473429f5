#!/usr/bin/env python3
"""Training speed of the CPU program of llm.c. Builds nothing: PROGRAM is its `train_gpt2`, as its makefile makes it.

Runs it in a folder of its own with a GPT-2 124M of random weights and random tokens (or in --data, a folder that has
gpt2_124M.bin and the token files already), reads the time that it prints for each step, and stops it. It trains 4 rows
of 64 tokens in f32, which is configuration A of `instar bench train` and the only one. Prints one JSON document:

    {"program", "version", "ms": [each timed step], "first_ms", "peak_rss_bytes", "threads"}
"""
import argparse
import array
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import sys
import tempfile

VOCAB, PADDED, WIDTH, LAYERS, POSITIONS, HEADS = 50257, 50304, 768, 12, 1024, 12


def write_weights(path):
    """Header of 256 integers, then f32 parameters: the layout that the program reads."""
    layer = 12 * WIDTH * WIDTH + 13 * WIDTH
    count = (PADDED + POSITIONS) * WIDTH + LAYERS * layer + 2 * WIDTH
    header = [20240326, 3, POSITIONS, VOCAB, LAYERS, HEADS, WIDTH, PADDED] + 248 * [0]
    chance = random.Random(1)
    block = array.array("f", (chance.gauss(0, 0.02) for _ in range(1 << 16)))
    with open(path, "wb") as file:
        file.write(struct.pack("<256i", *header))
        while count > 0:
            file.write(block[:count].tobytes())
            count -= len(block)


def write_tokens(path, n=40000):
    chance = random.Random(2)
    with open(path, "wb") as file:
        file.write(struct.pack("<256i", *([20240520, 1, n] + 253 * [0])))
        file.write(array.array("H", (chance.randrange(VOCAB) for _ in range(n))).tobytes())


def prepare(folder):
    data = os.path.join(folder, "dev/data/tinyshakespeare")
    os.makedirs(data, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "gpt2_124M.bin")):
        write_weights(os.path.join(folder, "gpt2_124M.bin"))
    for part in ("train", "val"):
        path = os.path.join(data, "tiny_shakespeare_%s.bin" % part)
        if not os.path.exists(path):
            write_tokens(path)


def run(program, folder, n_steps, threads):
    """Times of its first steps, and its peak memory. A terminal makes it print each line at once."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_PROC_BIND="true")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(program, [program], environment)
    text, times = "", []
    while len(times) < n_steps:
        try:
            piece = os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            piece = ""
        if not piece:
            break
        text += piece
        times = [float(t) for t in re.findall(r"step \d+: .*took ([0-9.]+) ms", text)]
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    _, _, usage = os.wait4(child, 0)
    os.close(terminal)
    if len(times) < n_steps:
        sys.exit("llm.c ended after %d of %d steps; its output:\n%s" % (len(times), n_steps, text[-2000:]))
    return times[:n_steps], usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--data", help="folder with gpt2_124M.bin and dev/data; made where it lacks something")
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK):
        sys.exit("%s: no program" % options.program)
    folder = options.data or tempfile.mkdtemp(prefix="instar-llmc-")
    try:
        prepare(folder)
        times, memory = run(os.path.abspath(options.program), folder, options.warmup + options.steps, options.threads)
    finally:
        if not options.data:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"program": "llm.c", "version": "",
                      "ms": times[options.warmup:], "first_ms": times[0], "peak_rss_bytes": memory,
                      "threads": options.threads}))


if __name__ == "__main__":
    main()
