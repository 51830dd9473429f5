#!/usr/bin/env python3
"""Training speed of llama.cpp. Builds nothing: PROGRAM is its `llama-finetune`.

It can train models of the Llama kind (it has no gradients for GPT-2's), one row at a time. So the model is the `llama`
of `instar bench train`: 12 layers of width 768, gated MLPs of 2048, a tied head over 50304 tokens, f32, random; a step
is one row of 256 tokens and an AdamW update of all parameters. The time of a step is that between two lines of its
progress. Prints one JSON document:

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
import time

LAYERS, WIDTH, HEADS, INNER, VOCAB, COLUMNS = 12, 768, 12, 2048, 50304, 256
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9  # types of GGUF values
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # kinds of tokens


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def array_of(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def metadata():
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    kinds = [UNKNOWN, CONTROL, CONTROL] + 256 * [BYTE]
    while len(tokens) < VOCAB:
        tokens.append("word%d" % len(tokens))
        kinds.append(NORMAL)
    number = {"context_length": COLUMNS, "embedding_length": WIDTH, "block_count": LAYERS,
              "feed_forward_length": INNER, "attention.head_count": HEADS, "attention.head_count_kv": HEADS,
              "rope.dimension_count": WIDTH // HEADS}
    return [entry("general.architecture", STRING, text("llama"))] + [
        entry("llama." + key, U32, struct.pack("<I", value)) for key, value in number.items()] + [
        entry("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-6)),
        entry("tokenizer.ggml.model", STRING, text("llama")),
        entry("tokenizer.ggml.tokens", ARRAY, array_of(STRING, [text(token) for token in tokens])),
        entry("tokenizer.ggml.scores", ARRAY, array_of(F32, [struct.pack("<f", -i) for i in range(VOCAB)])),
        entry("tokenizer.ggml.token_type", ARRAY, array_of(I32, [struct.pack("<i", kind) for kind in kinds]))] + [
        entry("tokenizer.ggml.%s_token_id" % name, U32, struct.pack("<I", i))
        for i, name in enumerate(("unknown", "bos", "eos"))]


def tensors():
    """Names and dimensions, the inner one first."""
    yield "token_embd.weight", (WIDTH, VOCAB)
    yield "output_norm.weight", (WIDTH,)
    for i in range(LAYERS):
        for name, dims in (("attn_norm", (WIDTH,)), ("ffn_norm", (WIDTH,)), ("attn_q", (WIDTH, WIDTH)),
                           ("attn_k", (WIDTH, WIDTH)), ("attn_v", (WIDTH, WIDTH)), ("attn_output", (WIDTH, WIDTH)),
                           ("ffn_gate", (WIDTH, INNER)), ("ffn_up", (WIDTH, INNER)), ("ffn_down", (INNER, WIDTH))):
            yield "blk.%d.%s.weight" % (i, name), dims


def count(dims):
    return dims[0] * (dims[1] if len(dims) > 1 else 1)


def write_model(path):
    entries, infos, offset = metadata(), [], 0
    for name, dims in tensors():
        infos.append(text(name) + struct.pack("<I%dQ" % len(dims), len(dims), *dims) + struct.pack("<IQ", 0, offset))
        offset += 4 * count(dims)  # all are multiples of the alignment of 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries + infos)
    chance = random.Random(1)
    block = array.array("f", (chance.gauss(0, 0.02) for _ in range(1 << 16)))
    ones = array.array("f", WIDTH * [1.0])
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for name, dims in tensors():
            left, piece = count(dims), ones if len(dims) == 1 else block
            while left > 0:
                file.write(piece[:left].tobytes())
                left -= len(piece)


def run(program, folder, n_steps, threads):
    """Seconds at which its progress came, and its peak memory."""
    letters = random.Random(2)
    with open(os.path.join(folder, "text.txt"), "w") as file:  # a letter is a token; rows begin every half row
        file.write("".join(letters.choice("abcdefgh") for _ in range((n_steps + 4) * COLUMNS)))
    words = [program, "-m", "model.gguf", "-f", "text.txt", "-c", str(COLUMNS), "-b", str(COLUMNS), "-ub", str(COLUMNS),
             "-t", str(threads), "-tb", str(threads), "--epochs", "1", "--val-split", "0", "--learning-rate", "1e-4",
             "--weight-decay", "0", "-o", "out.gguf"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(program, words)
    output, times, done = "", [], 0
    while len(times) < n_steps:
        try:
            piece = os.read(terminal, 65536).decode(errors="replace")
        except OSError:
            break
        if not piece:
            break
        output += piece
        steps = re.findall(r"data=0*(\d+)/\d+", output)
        if steps and int(steps[-1]) > done:
            done = int(steps[-1])
            times.append(time.monotonic())
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    _, _, usage = os.wait4(child, 0)
    os.close(terminal)
    if len(times) < n_steps:
        sys.exit("llama.cpp ended after %d of %d steps; its output:\n%s" % (len(times), n_steps, output[-2000:]))
    return times, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK):
        sys.exit("%s: no program" % options.program)
    folder = tempfile.mkdtemp(prefix="instar-llama-")
    try:
        write_model(os.path.join(folder, "model.gguf"))
        times, memory = run(os.path.abspath(options.program), folder, options.warmup + options.steps + 1,
                            options.threads)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    spent = [1e3 * (after - before) for before, after in zip(times, times[1:])]
    print(json.dumps({"program": "llama.cpp", "version": "", "ms": spent[options.warmup:], "first_ms": spent[0],
                      "peak_rss_bytes": memory, "threads": options.threads}))


if __name__ == "__main__":
    main()
