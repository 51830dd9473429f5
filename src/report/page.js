// The sections of the report, top to bottom. Each leaves its <section> hidden when the run has nothing for it.
"use strict";

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
Chart.defaults.font.family = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
Chart.defaults.color = css("--soft");
Chart.defaults.borderColor = css("--grid");
Chart.defaults.animation = false;
const info = Object.fromEntries(RUN.info.map(i => [i.name, i.value]));
const run = RUN.run ? JSON.parse(RUN.run) : {};

// "1.6 TFLOP": the prefix stands by the unit.
const withUnit = (n, unit) => fmt.count(n).replace(/([PTGMk]?)$/, ` $1${unit}`);

function header() {
  document.title = `${info.recipe || "run"} – Instar report`;
  document.getElementById("version").textContent = RUN.version;
  document.getElementById("title").textContent = info.recipe || "Run";
  document.getElementById("summary").textContent = info.summary || "";
  const done = RUN.stages.filter(s => s.state === "done").length;
  const shown = RUN.claims.filter(c => c.verdict === "shown").length;
  const tokens = RUN.stages.filter(s => s.kind === "train").reduce((sum, s) => sum + (s.tokens || 0), 0);
  const flop = RUN.stages.reduce((sum, s) => sum + (s.flop || 0), 0), seconds = RUN.stages.reduce((sum, s) => sum + (s.seconds || 0), 0);
  const facts = [[`${done} / ${RUN.stages.length}`, "stages done"]];
  if (RUN.claims.length) facts.push([`${shown} / ${RUN.claims.length}`, "claims shown"]);
  if (tokens) facts.push([fmt.count(tokens), "tokens trained on"]);
  if (flop) facts.push([withUnit(flop, "FLOP"), "matrix products"]);
  facts.push([fmt.seconds(seconds), "of computing"]);
  document.getElementById("facts").append(...facts.map(([value, label]) => el("div", {}, el("b", {}, value), el("span", {}, label))));
}

// ---- problems ----
function problems() {
  const failed = RUN.stages.filter(s => s.state === "failed" || s.state === "interrupted");
  if (!failed.length) return;
  const node = section("problems", "The run did not get to its end. Once the reason is gone, run the same command again: what is done stays done.");
  node.append(el("div", {class: "card"}, failed.map(s => el("div", {class: "problem"},
    el("span", {class: `badge ${s.state}`}, s.state), el("div", {}, el("b", {}, s.name), s.error ? el("p", {}, s.error) : null)))));
}

// ---- claims ----
function intervalPlot(c) {
  if (c.value === null) return el("p", {class: "note"}, c.reason || "no value");
  const low = c.low ?? c.value, high = c.high ?? c.value;
  const least = Math.min(low, c.target, c.value), most = Math.max(high, c.target, c.value), span = (most - least) || Math.abs(most) || 1;
  const from = least - .18 * span, to = most + .18 * span, x = v => 10 + 300 * (v - from) / (to - from);
  const holds = c.relation.startsWith("<") ? [10, x(c.target)] : c.relation.startsWith(">") ? [x(c.target), 310] : [x(c.target) - 2, x(c.target) + 2];
  const tone = c.verdict === "shown" ? "var(--good)" : c.verdict === "weak" ? "var(--weak)" : "var(--bad)";
  const svg = `<svg viewBox="0 0 320 52" width="320" height="52" role="img" aria-label="value and interval">
    <rect x="${holds[0]}" y="8" width="${Math.max(0, holds[1] - holds[0])}" height="20" rx="4" fill="var(--good)" opacity=".12"/>
    <line x1="10" x2="310" y1="18" y2="18" stroke="var(--line)"/>
    <line x1="${x(c.target)}" x2="${x(c.target)}" y1="5" y2="31" stroke="var(--soft)" stroke-dasharray="3 3"/>
    <line x1="${x(low)}" x2="${x(high)}" y1="18" y2="18" stroke="${tone}" stroke-width="5" stroke-linecap="round" opacity=".45"/>
    <circle cx="${x(c.value)}" cy="18" r="5.5" fill="${tone}"/>
    <text x="${Math.min(280, Math.max(40, x(c.target)))}" y="46" font-size="11.5" text-anchor="middle" fill="var(--soft)">${c.relation.replace("<", "&lt;")} ${fmt.value(c.target)}</text></svg>`;
  const holder = el("div", {});
  holder.innerHTML = svg;  // numbers only
  return holder;
}
function claims() {
  if (!RUN.claims.length) return;
  const sides = new Map((RUN.claims_file ? JSON.parse(RUN.claims_file) : []).map(c => [c.id, c.than]));
  const node = section("claims", "What the recipe says it shows, and whether this run shows it: the dot is the value, the bar its 95 % interval, the shaded side is where the claim holds. Shown: the whole interval holds; weak: only the value does.");
  node.append(el("div", {class: "card"}, RUN.claims.map(c => el("div", {class: "claim"},
    el("div", {}, el("span", {class: `badge ${c.verdict === "not shown" ? "not" : c.verdict}`}, c.verdict)),
    el("div", {}, el("p", {}, c.text || c.id), el("code", {}, `${c.metric} ${c.relation} ${sides.get(c.id) || fmt.value(c.target)}`),
      c.value === null ? null : el("p", {class: "note"}, `${fmt.value(c.value)}${c.low === null ? "" : `  [${fmt.value(c.low)}, ${fmt.value(c.high)}]`}`)),
    intervalPlot(c)))));
}

// ---- charts ----
// Thin vertical lines where stages begin.
const beginnings = {
  id: "beginnings",
  beforeDatasetsDraw(chart) {
    const {ctx, chartArea: area, scales} = chart;
    ctx.save();
    ctx.strokeStyle = css("--soft");
    ctx.globalAlpha = .5;
    ctx.setLineDash([2, 4]);
    for (const at of chart.config.options.beginnings || []) {
      const x = Math.round(scales.x.getPixelForValue(at)) + .5;
      ctx.beginPath();
      ctx.moveTo(x, area.top);
      ctx.lineTo(x, area.bottom);
      ctx.stroke();
    }
    ctx.restore();
  },
};
function chart(parent, title, datasets, options) {
  const canvas = el("canvas", {}), xs = datasets.flatMap(d => d.data.map(p => p.x));
  const least = Math.min(...xs), most = Math.max(...xs), from = least < .1 * most ? 0 : least;  // a range from its data on, or from 0
  parent.append(el("div", {class: "card" + (options.wide ? " wide" : "")}, el("h3", {}, title), el("div", {class: "plot"}, canvas)));
  new Chart(canvas, {
    type: "line",
    data: {datasets},
    plugins: [beginnings],
    options: {
      beginnings: options.beginnings,
      responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
      interaction: {mode: "nearest", intersect: false},
      scales: {
        x: {type: options.logX ? "logarithmic" : "linear", title: {display: true, text: options.x}, ticks: {callback: v => fmt.count(v), maxTicksLimit: 9}, min: from < most ? from : undefined, max: from < most ? most : undefined, grid: {display: false}},
        y: {type: options.logY ? "logarithmic" : "linear", title: {display: !!options.y, text: options.y}, ticks: {callback: v => fmt.value(v), maxTicksLimit: 8}},
      },
      plugins: {
        legend: {display: datasets.filter(d => !d.label.startsWith("~")).length > 1, labels: {usePointStyle: true, pointStyle: "line", boxWidth: 26, filter: item => !item.text.startsWith("~")}},
        tooltip: {filter: item => !item.dataset.label.startsWith("~"), callbacks: {title: items => items.length ? `${options.x}: ${fmt.count(items[0].parsed.x)}` : "", label: item => ` ${item.dataset.label}: ${fmt.value(item.parsed.y)}`}},
      },
    },
  });
}
function line(label, color, points, extra) {
  return Object.assign({label, data: points, borderColor: color, backgroundColor: color, borderWidth: 2, clip: 8, pointRadius: points.length < 40 ? 2.5 : 0, pointHitRadius: 8, tension: 0}, extra);
}
// A line with a band between the least and the largest seed.
function banded(label, color, points) {
  const sets = [line(label, color, points.map(p => ({x: p.x, y: p.value})))];
  if (points.some(p => p.high > p.low)) {
    const ghost = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0};
    sets.push(line("~low", color, points.map(p => ({x: p.x, y: p.low})), ghost));
    sets.push(line("~high", color, points.map(p => ({x: p.x, y: p.high})), {...ghost, backgroundColor: color + "2e", fill: "-1"}));
  }
  return sets;
}
// Where along the chains of stages some stage starts from another one.
function beginningsOf(metric) {
  const names = [...(seriesOf.get(metric) || new Map()).keys()];
  return [...new Set(names.map(name => offsetOf(variants.get(name))).filter(offset => offset > 0))];
}
function alongChain(metric) {
  const sets = [];
  for (const [name, list] of seriesOf.get(metric) || []) {
    const v = variants.get(name), offset = offsetOf(v);
    if (v.kind !== "train") continue;
    sets.push(...banded(name, colorOf(v), averaged(list).map(p => ({...p, x: offset + p.tokens}))));
  }
  return sets;
}

function probes() {
  const names = [...seriesOf.keys()].filter(n => /^[^/]+\/[^.]+$/.test(n) && !/^(train|data|tokens|stats|export|compress|ngram|sample|perf)\//.test(n));
  const drawn = names.filter(n => alongChain(n).length);
  if (!drawn.length) return;
  const node = section("probes", "Probes at every kept checkpoint, along the chain of stages: each stage goes on where the one it starts from ended. Lines are means over seeds, bands run from the least to the largest seed.");
  const grid = el("div", {class: "grid"});
  node.append(grid);
  for (const name of drawn) {
    const sets = alongChain(name);
    for (const [base, color] of [["majority", css("--soft")], ["chance", "#b58a4a"]]) {
      const levels = [...(seriesOf.get(`${name}.${base}`) || new Map()).values()].flat();
      if (!levels.length) continue;
      const y = levels[0].value[0], xs = sets.flatMap(s => s.data.map(p => p.x));
      sets.push(line(base, color, [{x: Math.min(...xs), y}, {x: Math.max(...xs), y}], {borderDash: [5, 4], borderWidth: 1.3, pointRadius: 0}));
    }
    chart(grid, probeTitle(name), sets, {x: "tokens trained on", y: name.startsWith("bpb/") ? "bits per byte" : "", beginnings: beginningsOf(name), wide: drawn.length % 2 === 1 && name === drawn[drawn.length - 1]});
  }
}
function probeTitle(name) {
  const [kind, what] = [name.slice(0, name.indexOf("/")), name.slice(name.indexOf("/") + 1)];
  return {bpb: `Bits per byte: ${what}`, choice: `Multiple choice: ${what}`, cloze: `Exact answers: ${what}`}[kind] || name;
}

// ---- forgetting and transfer ----
function matrix() {
  const metrics = [...new Set(RUN.derived.filter(d => d.better).map(d => d.metric))].filter(m => !/\./.test(m.slice(m.indexOf("/"))));
  const rows = [...variants.values()].filter(v => parentOf.has(v.name) && RUN.derived.some(d => variantOf.get(d.stage) === v));
  if (!metrics.length || !rows.length) return;
  const node = section("matrix", "How far each stage moved what the stage before it knew: the change from the parent's last value to the stage's own (mean over seeds). Green is better, red is worse; the second line says when a loss was made good.");
  const cell = (v, metric) => {
    const found = RUN.derived.filter(d => variantOf.get(d.stage) === v && d.metric === metric && d.change !== null);
    if (!found.length) return "";
    const mean = key => found.reduce((sum, d) => sum + d[key], 0) / found.length;
    const change = mean("change"), relative = change / (Math.abs(mean("before")) || 1), gain = found[0].better === "lower" ? -relative : relative;
    const alpha = Math.min(.65, .08 + 2.2 * Math.abs(gain)), tone = gain >= 0 ? "31,122,77" : "168,50,45";
    const recovered = found.every(d => d.recover_step === -1) ? "never worse by 1 %" : found.some(d => d.recover_step === null) ? "not recovered" : `recovered by step ${Math.max(...found.map(d => d.recover_step))}`;
    return el("div", {}, el("span", {class: "heat", style: `background:rgba(${tone},${alpha})`}, fmt.signed(change)), el("br"), el("span", {class: "note"}, `${fmt.value(mean("before"))} → ${fmt.value(mean("after"))}; ${recovered}`));
  };
  node.append(el("div", {class: "card"}, table([{text: "stage"}, {text: "starts from"}, ...metrics.map(m => ({text: m}))],
    rows.map(v => [v.name, parentOf.get(v.name).name, ...metrics.map(m => cell(v, m))]))));
}

// ---- training ----
function smoothed(points, share) {
  const width = Math.max(1, Math.round(points.length * share));
  let sum = 0;
  const window = [];
  return points.map(p => { window.push(p.value); sum += p.value; if (window.length > width) sum -= window.shift(); return {...p, value: sum / window.length}; });
}
function training() {
  const losses = seriesOf.get("train/loss");
  if (!losses) return;
  const node = section("training", "Loss of the training batches (moving mean over 2 % of the steps), learning rate and gradient norm. Means over seeds.");
  const grid = el("div", {class: "grid"});
  node.append(grid);
  const plot = (metric, title, options, share) => {
    const sets = [];
    for (const [name, list] of seriesOf.get(metric) || []) {
      const v = variants.get(name), offset = offsetOf(v);
      const points = smoothed(averaged(list), share).map(p => ({x: offset + p.tokens, y: p.value}));
      sets.push(line(name, colorOf(v), points, {pointRadius: 0, borderWidth: 1.7}));
    }
    if (sets.length) chart(grid, title, sets, {x: "tokens trained on", beginnings: beginningsOf(metric), ...options});
  };
  plot("train/loss", "Training loss (nats per token)", {wide: true}, .02);
  plot("train/lr", "Learning rate", {}, 0);
  plot("train/grad_norm", "Gradient norm, before clipping", {logY: true}, .02);
}

// ---- samples ----
// The prompts that the recipe names, longest first: lines `- "..."` under `prompts:` of the resolved recipe.
function recipePrompts() {
  const found = new Set();
  for (const block of (RUN.lock || "").matchAll(/^( *)prompts:\n((?:\1 *- .*\n)+)/gm))
    for (const item of block[2].matchAll(/- (".*")$/gm)) found.add(JSON.parse(item[1]));
  return [...found].sort((a, b) => b.length - a.length);
}
function samples() {
  if (!RUN.samples.length) return;
  const node = section("samples", "What the model writes, checkpoint by checkpoint. Read down to watch it learn.");
  const groups = new Map();
  for (const s of RUN.samples) {
    const v = variantOf.get(s.stage);
    const key = `${v ? v.name : s.stage} · ${s.name.replace(/^sample\//, "")}`;
    if (v && v.stages[0].name !== s.stage) continue;  // one seed is enough to read
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(s);
  }
  const box = el("div", {class: "card"}), choice = el("select", {onchange: () => show(choice.value)}, [...groups.keys()].map(k => el("option", {value: k}, k)));
  const show = key => {
    const list = groups.get(key);
    box.replaceChildren(...list.map((s, i) => el("div", {class: "sample"}, el("div", {class: "step"}, i && list[i - 1].step === s.step ? "" : `step ${s.step}`), el("pre", {}, ...sampleText(s.text || "")))));
  };
  const prompts = recipePrompts();
  const sampleText = whole => {  // many empty lines are told, not shown
    const text = whole.trimEnd().replace(/\n(\s*\n){2,}/g, m => `\n[${m.split("\n").length - 2} empty lines]\n`);
    const prompt = prompts.find(p => p && text.startsWith(p));
    return prompt ? [el("b", {}, prompt), text.slice(prompt.length)] : [text];
  };
  node.append(el("p", {}, choice), box);
  // Begin with the texts that were written at most checkpoints; the later stage where two are equal.
  const checkpoints = key => new Set(groups.get(key).map(s => s.step)).size;
  choice.value = [...groups.keys()].reduce((best, key) => checkpoints(key) >= checkpoints(best) ? key : best);
  show(choice.value);
}

// ---- inside the model ----
// "layer00.attn" and "layer01.attn" are one line, "attn", with a band from the least to the largest layer.
function stats() {
  const parts = new Map();  // "attn" -> metrics
  for (const name of seriesOf.keys()) {
    const [, part] = name.match(/^stats\/(.*)\.update$/) || [];
    if (!part) continue;
    const group = part.replace(/^layer\d+\./, "");
    if (!parts.has(group)) parts.set(group, []);
    parts.get(group).push(name);
  }
  if (!parts.size) return;
  const node = section("stats", "Norm of the last update divided by the norm of the weights, by part of the model, at each kept checkpoint; bands run over layers and seeds. About 1e-3 is usual at the peak learning rate; a part that stands out is where to look.");
  const grid = el("div", {class: "grid"});
  node.append(grid);
  for (const v of [...variants.values()].filter(one => one.kind === "train")) {
    const sets = [];
    [...parts].forEach(([part, names], i) => {
      const list = names.flatMap(n => seriesOf.get(n).get(v.name) || []);
      if (list.length) sets.push(...banded(part, palette[i % palette.length], averaged(list).map(p => ({...p, x: p.step}))));
    });
    if (sets.length) chart(grid, `Update ratio: ${v.name}`, sets, {x: "step", logY: true});
  }
}

// ---- costs, data, settings ----
function costs() {
  const node = section("costs", info.peak ? `Measured peak of this machine: ${info.peak}. MFU = matrix-product FLOP per second / that peak.` : "MFU = matrix-product FLOP per second / the measured peak of the machine. A cached stage shows what it cost when it ran.");
  node.append(el("div", {class: "card"}, table(
    [{text: "stage"}, {text: "kind"}, {text: "state"}, {text: "time", num: 1}, {text: "steps", num: 1}, {text: "tokens", num: 1}, {text: "tokens/s", num: 1}, {text: "FLOP", num: 1}, {text: "MFU", num: 1}, {text: "memory", num: 1}],
    RUN.stages.map(s => [s.name, s.kind, el("span", {class: `badge ${s.state}`, title: s.error || ""}, s.cached ? "cached" : s.state || ""), fmt.seconds(s.seconds), s.steps ? fmt.count(s.steps) : "", s.tokens ? fmt.count(s.tokens) : "",
      s.tokens_per_s ? fmt.count(s.tokens_per_s) : "", s.flop ? fmt.count(s.flop) : "", s.mfu ? fmt.percent(s.mfu) : "", fmt.bytes(s.peak_bytes)]))));
}
// Values of PREFIX/NAME: last value by stage.
function lastOf(stage, name) {
  const found = (RUN.series.find(s => s.stage === stage && s.name === name) || {value: [null]}).value;
  return found[found.length - 1];
}
function corporaTable() {
  const rows = [];
  for (const stage of RUN.stages.filter(s => s.kind === "build-data")) {
    const file = RUN.corpora.find(c => c.folder === stage.name), reasons = file ? JSON.parse(file.text).reasons || {} : {};
    const part = split => lastOf(stage.name, `data/${split}.documents`) ? `${fmt.whole(lastOf(stage.name, `data/${split}.documents`))} · ${fmt.bytes(lastOf(stage.name, `data/${split}.bytes`))}` : "";
    const why = Object.entries(reasons).sort((a, b) => b[1] - a[1]).map(([reason, n]) => el("div", {}, `${fmt.whole(n)}  ${reason}`));
    if (lastOf(stage.name, "data/read") === null) continue;
    rows.push([stage.name, fmt.whole(lastOf(stage.name, "data/read")), part("train"), part("valid"), part("test"), el("div", {class: "small"}, why.length ? why : "nothing")]);
  }
  return rows.length ? table([{text: "corpus"}, {text: "documents read", num: 1}, {text: "train", num: 1}, {text: "valid", num: 1}, {text: "test", num: 1}, {text: "left out, and why"}], rows) : null;
}
function tokensTable() {
  const rows = [];
  for (const s of RUN.series) {
    const [, corpus, split] = s.name.match(/^tokens\/(.*)\.(train|valid|test)\.tokens$/) || [];
    if (!corpus) continue;
    const value = what => lastOf(s.stage, `tokens/${corpus}.${split}.${what}`);
    rows.push([s.stage, corpus, split, fmt.whole(value("documents")), fmt.whole(value("tokens")), fmt.value(value("bytes_per_token")), fmt.whole(value("skipped")), fmt.whole(lastOf(s.stage, "tokens/vocab"))]);
  }
  return rows.length ? table([{text: "tokens"}, {text: "corpus"}, {text: "split"}, {text: "documents", num: 1}, {text: "tokens", num: 1}, {text: "bytes a token", num: 1}, {text: "skipped", num: 1}, {text: "vocabulary", num: 1}], rows) : null;
}
function baselinesTable() {
  const words = {compress: "xz -9", "compress.gzip": "gzip -9", "compress.zstd": "zstd -19", "compress.primed": "xz -9, after the training text", ngram: "n-gram model"};
  const rows = [];
  for (const s of RUN.series) {
    const [, kind, name, extra] = s.name.match(/^(compress|ngram)\/([^.]+)(\.[^.]+)?$/) || [];
    if (!kind || extra === ".se") continue;
    const se = lastOf(s.stage, `${s.name}.se`);
    rows.push([s.stage, name, words[kind + (extra || "")] || s.name, fmt.value(lastOf(s.stage, s.name)), se === null ? "" : `± ${fmt.value(se)}`]);
  }
  return rows.length ? table([{text: "stage"}, {text: "measured on"}, {text: "method"}, {text: "bits per byte", num: 1}, {text: "standard error", num: 1}], rows) : null;
}
function dataTable() {
  const tables = [["Corpora", corporaTable()], ["Tokens", tokensTable()], ["What simple methods need for the held-out text", baselinesTable()]].filter(t => t[1]);
  if (!tables.length) return;
  const node = section("data", "What went in. Nothing is left out silently: every document that was read is in a split or counted under a reason.");
  for (const [title, made] of tables) node.append(el("div", {class: "card stacked"}, el("h3", {}, title), made));
}
function settings() {
  const node = section("settings");
  const machine = run.machine || {}, rows = [];
  const flat = (object, prefix) => { for (const [key, value] of Object.entries(object || {})) if (value && typeof value === "object" && !Array.isArray(value)) flat(value, `${prefix}${key}.`); else rows.push([prefix + key, key === "seconds" ? fmt.seconds(value) : String(value)]); };
  flat(run, "");
  const card = el("div", {class: "card"});
  if (rows.length) card.append(table([{text: "what"}, {text: "value"}], rows));
  card.append(el("details", {}, el("summary", {}, "Content keys of the stages"), table([{text: "stage"}, {text: "key"}], RUN.stages.map(s => [s.name, el("code", {}, s.key || "")]))));
  if (RUN.lock) card.append(el("details", {}, el("summary", {}, "The recipe with every option resolved"), el("pre", {class: "block"}, RUN.lock)));
  node.append(card);
}

header();
problems();
claims();
drawPipeline(section("pipeline", "Every box is a stage; boxes behind a box are the arms and seeds of a matrix. A curve means that a stage takes what another left; one that a longer way implies is not drawn. Times are what the stages cost when they ran."));
probes();
matrix();
training();
samples();
stats();
costs();
dataTable();
settings();
document.getElementById("nav").append(...[...document.querySelectorAll("section")].filter(s => !s.hidden).map(s => el("a", {href: "#" + s.id}, s.dataset.title)));
