#!/usr/bin/env python3
"""Training speed of PyTorch on the models and batches of `instar bench train`. Prints one JSON document:

    {"program", "version", "ms": [each timed step], "first_ms", "peak_rss_bytes", "threads", "parameters", "loss"}

One step = forward, mean cross-entropy over the whole vocabulary, backward, AdamW on every parameter (fused; lr 1e-4,
betas .9 .999, eps 1e-8, no decay, no clipping), on random weights and random tokens. f32, or bf16 through autocast.
The environment is the one in which PyTorch is fastest on a CPU: threads bound to cores, and a heap that is never given
back to the system (--as-shipped leaves it alone).
"""
import argparse
import json
import os
import resource
import sys
import time

GPT2 = {  # layers, width, heads, vocabulary, positions, rows, columns
    "A": (12, 768, 12, 50304, 1024, 4, 64),
    "B": (12, 768, 12, 50304, 1024, 4, 256),
    "C": (6, 384, 6, 8192, 256, 8, 256),
    "D": (4, 256, 4, 4096, 256, 16, 256),
}
LLAMA = (12, 768, 12, 2048, 50304, 1, 256)  # layers, width, heads, inner width of the MLP, vocabulary, rows, columns
LSTM = (2, 256, 4096, 16, 256)  # layers, width, vocabulary, rows, columns
MLP = (2, 512, 64, 8, 4096, 4096)  # hidden layers, hidden, embedding, window, vocabulary, positions a step

FASTEST = {
    "OMP_PROC_BIND": "true",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", choices=("gpt2", "llama", "lstm", "mlp"), default="gpt2")
    parser.add_argument("--config", choices=sorted(GPT2), default="D", help="shape of gpt2")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of eager mode")
    parser.add_argument("--as-shipped", action="store_true", help="leave the environment as it is")
    return parser.parse_args()


def restart_in_fastest_environment(options):
    """malloc and OpenMP read their variables once, at the start of the process."""
    wanted = dict(FASTEST, OMP_NUM_THREADS=str(options.threads))
    if options.as_shipped or all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable] + sys.argv)


def make_models(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            rows, columns, width = x.shape
            parts = self.qkv(self.norm1(x)).view(rows, columns, 3, self.heads, width // self.heads)
            q, k, v = parts.permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(rows, columns, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Transformer(nn.Module):
        """GPT-2: learned positions, layernorm before each part, one weight for q, k and v, tied head."""

        def __init__(self, layers, width, heads, vocab, positions):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(positions, width)
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
            self.norm = nn.LayerNorm(width)
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, ids, targets):
            x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.norm(x), self.tokens.weight)
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    class GatedBlock(nn.Module):
        def __init__(self, width, heads, inner):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
            self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
            self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
            self.down = nn.Linear(inner, width, bias=False)

        def forward(self, x, cosine, sine):
            def heads_of(y):
                return y.view(*y.shape[:2], self.heads, -1).transpose(1, 2)

            def rotated(y):
                first, second = y.chunk(2, dim=-1)
                return y * cosine + torch.cat((-second, first), dim=-1) * sine

            y = self.norm1(x)
            q, k, v = rotated(heads_of(self.q(y))), rotated(heads_of(self.k(y))), heads_of(self.v(y))
            y = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            y = self.norm2(x)
            return x + self.down(functional.silu(self.gate(y)) * self.up(y))

    class Gated(nn.Module):
        """Llama: rotary positions, RMSNorm before each part, gated MLP, no biases; tied head."""

        def __init__(self, layers, width, heads, inner, vocab, columns):
            super().__init__()
            self.tokens, self.norm = nn.Embedding(vocab, width), nn.RMSNorm(width, eps=1e-6)
            self.blocks = nn.ModuleList(GatedBlock(width, heads, inner) for _ in range(layers))
            size = width // heads
            angles = torch.outer(torch.arange(columns), 10000.0 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
            self.register_buffer("cosine", angles.cos(), persistent=False)
            self.register_buffer("sine", angles.sin(), persistent=False)
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, ids, targets):
            x = self.tokens(ids)
            for block in self.blocks:
                x = block(x, self.cosine, self.sine)
            logits = functional.linear(self.norm(x), self.tokens.weight)
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    class Recurrent(nn.Module):
        """Embedding, LSTM layers, a head of its own."""

        def __init__(self, layers, width, vocab):
            super().__init__()
            self.tokens = nn.Embedding(vocab, width)
            self.lstm = nn.LSTM(width, width, layers, batch_first=True)
            self.head = nn.Linear(width, vocab, bias=False)

        def forward(self, ids, targets):
            x, _ = self.lstm(self.tokens(ids))
            logits = self.head(x)
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    class Window(nn.Module):
        """The embeddings of the last few tokens side by side, hidden layers with tanh, a head."""

        def __init__(self, layers, hidden, embedding, window, vocab):
            super().__init__()
            sizes = [window * embedding] + layers * [hidden]
            self.tokens = nn.Embedding(vocab, embedding)
            self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in zip(sizes, sizes[1:]))
            self.head = nn.Linear(hidden, vocab, bias=False)

        def forward(self, ids, targets):
            x = self.tokens(ids).flatten(1)
            for layer in self.hidden:
                x = torch.tanh(layer(x))
            return functional.cross_entropy(self.head(x), targets)

    return {"gpt2": Transformer, "llama": Gated, "lstm": Recurrent, "mlp": Window}


def build(torch, options):
    kinds = make_models(torch)
    if options.model == "gpt2":
        layers, width, heads, vocab, positions, rows, columns = GPT2[options.config]
        model, shape, targets = kinds["gpt2"](layers, width, heads, vocab, positions), (rows, columns), (rows, columns)
    elif options.model == "llama":
        layers, width, heads, inner, vocab, rows, columns = LLAMA
        model, shape, targets = kinds["llama"](layers, width, heads, inner, vocab, columns), (rows, columns), (rows, columns)
    elif options.model == "lstm":
        layers, width, vocab, rows, columns = LSTM
        model, shape, targets = kinds["lstm"](layers, width, vocab), (rows, columns), (rows, columns)
    else:
        layers, hidden, embedding, window, vocab, rows = MLP
        model, shape, targets = kinds["mlp"](layers, hidden, embedding, window, vocab), (rows, window), (rows,)
    return model, torch.randint(vocab, shape), torch.randint(vocab, targets)


def main():
    options = arguments()
    restart_in_fastest_environment(options)
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    model, ids, targets = build(torch, options)
    run = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, fused=True)
    times = []
    for _ in range(options.warmup + options.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = run(ids, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({
        "program": "PyTorch " + ("compiled" if options.compile else "eager"),
        "version": torch.__version__.split("+")[0],
        "ms": times[options.warmup:],
        "first_ms": times[0],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": options.threads,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": float(loss.detach()),
    }))


if __name__ == "__main__":
    main()
