// The run's data as the page uses it: stages grouped into variants (a stage definition with every axis but the seed),
// series averaged over seeds, and the chain of stages that a variant continues from.
"use strict";

const byStage = new Map(RUN.stages.map(s => [s.name, s]));
const axesOf = new Map(RUN.stages.map(s => [s.name, {}]));
for (const a of RUN.axes) if (axesOf.has(a.stage)) axesOf.get(a.stage)[a.axis] = a.value;

function variantName(stage) {
  const axes = Object.entries(axesOf.get(stage.name) || {}).filter(([axis]) => axis !== "seed");
  const definition = stage.definition || stage.name;
  return axes.length ? `${definition} (${axes.map(([axis, value]) => axis === "arm" ? value : `${axis} ${value}`).join(", ")})` : definition;
}

const variants = new Map();  // name -> {name, kind, stages: [instances]}
for (const s of RUN.stages) {
  const name = variantName(s);
  if (!variants.has(name)) variants.set(name, {name, kind: s.kind, definition: s.definition || s.name, stages: []});
  variants.get(name).stages.push(s);
}
const variantOf = new Map();
for (const v of variants.values()) for (const s of v.stages) variantOf.set(s.name, v);

// variant -> variant it starts from
const parentOf = new Map();
for (const d of RUN.derived) {
  const child = variantOf.get(d.stage), parent = variantOf.get(d.parent);
  if (child && parent) parentOf.set(child.name, parent);
}
for (const e of RUN.edges) {  // before the run ended, derived numbers are not there yet
  const child = variantOf.get(e.stage), parent = variantOf.get(e.input);
  if (child && parent && child.kind === "train" && parent.kind === "train" && !parentOf.has(child.name)) parentOf.set(child.name, parent);
}

function tokensOf(v) { return Math.max(0, ...v.stages.map(s => s.tokens || 0)); }
function offsetOf(v) {  // tokens trained before this variant began
  let offset = 0, seen = new Set();
  for (let p = parentOf.get(v.name); p && !seen.has(p.name); p = parentOf.get(p.name)) { seen.add(p.name); offset += tokensOf(p); }
  return offset;
}

const seriesOf = new Map();  // metric -> variant -> [series of each seed]
for (const s of RUN.series) {
  const v = variantOf.get(s.stage);
  if (!v) continue;
  if (!seriesOf.has(s.name)) seriesOf.set(s.name, new Map());
  const of = seriesOf.get(s.name);
  if (!of.has(v.name)) of.set(v.name, []);
  of.get(v.name).push(s);
}

// Mean, least and largest over seeds, by step: [{step, tokens, value, low, high}]
function averaged(list) {
  const points = new Map();
  for (const s of list) {
    s.step.forEach((step, i) => {
      const value = s.value[i];
      if (value === null) return;
      const p = points.get(step) || {step, tokens: s.tokens[i], sum: 0, n: 0, low: Infinity, high: -Infinity};
      p.sum += value; p.n += 1; p.low = Math.min(p.low, value); p.high = Math.max(p.high, value);
      points.set(step, p);
    });
  }
  return [...points.values()].map(p => ({...p, value: p.sum / p.n})).sort((a, b) => a.step - b.step);
}
function lastValue(metric, v) {
  const list = (seriesOf.get(metric) || new Map()).get(v.name);
  if (!list) return null;
  const points = averaged(list);
  return points.length ? points[points.length - 1].value : null;
}

// ---- formatting ----
const fmt = {
  count(n) {
    if (n === null || n === undefined || !isFinite(n)) return "";
    for (const [size, unit] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (Math.abs(n) >= size) return Number((n / size).toPrecision(3)) + unit;
    return Math.abs(n) < 10 && n % 1 ? n.toPrecision(2) : String(Math.round(n));
  },
  bytes(n) {
    if (!n) return "";
    for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (n >= size) return (n / size).toPrecision(3) + " " + unit;
    return n + " B";
  },
  seconds(s) {
    if (s === null || s === undefined) return "";
    if (s < 60) return s.toPrecision(s < 1 ? 2 : 3) + " s";
    const whole = Math.round(s), minutes = Math.round(s / 60);
    return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  },
  value(x) {
    if (x === null || x === undefined || !isFinite(x)) return "–";
    const size = Math.abs(x);
    return size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(2).replace(/\.?0*e\+?/, "e") : String(Number(x.toPrecision(4)));
  },
  whole(n) { return n === null || n === undefined ? "" : Math.round(n).toLocaleString("en"); },
  signed(x) { return (x > 0 ? "+" : "") + fmt.value(x); },
  percent(x) { return x === null || x === undefined ? "" : (100 * x).toFixed(0) + " %"; },
};

// ---- building the page ----
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") node.className = value; else if (key.startsWith("on")) node.addEventListener(key.slice(2), value); else node.setAttribute(key, value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}
function section(id, note) {
  const node = document.getElementById(id);
  node.hidden = false;
  node.append(el("h2", {}, node.dataset.title));
  if (note) node.append(el("p", {class: "note"}, note));
  return node;
}
function table(heads, rows) {
  return el("div", {class: "scroll"}, el("table", {}, el("thead", {}, el("tr", {}, heads.map(h => el("th", {class: h.num ? "num" : ""}, h.text)))),
    el("tbody", {}, rows.map(r => el("tr", {}, r.map((cell, i) => el("td", {class: heads[i].num ? "num" : ""}, cell)))))));
}

const palette = ["#4269d0", "#e07b39", "#2a9d6f", "#c0446c", "#8a63c9", "#3aa6b9", "#a5762b", "#6b7a90", "#d1495b", "#5b8c3e"];
const colors = new Map();
function colorOf(v) {
  if (!colors.has(v.name)) colors.set(v.name, palette[colors.size % palette.length]);
  return colors.get(v.name);
}
for (const v of variants.values()) if (v.kind === "train") colorOf(v);
