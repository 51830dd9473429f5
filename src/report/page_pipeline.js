// The pipeline as a drawing: columns by distance from the raw data, one box a stage definition, curves for inputs.
// A curve over several columns runs through a gap ("bend") in each column between, so that it never crosses a box.
"use strict";

function pipelineNodes() {
  const definitions = new Map();  // name -> {name, kind, stages, inputs, column}
  for (const s of RUN.stages) {
    const name = s.definition || s.name;
    if (!definitions.has(name)) definitions.set(name, {name, kind: s.kind, stages: [], inputs: new Set(), column: 0});
    definitions.get(name).stages.push(s);
  }
  for (const e of RUN.edges) {
    const to = byStage.get(e.stage), from = byStage.get(e.input);
    if (to && from) definitions.get(to.definition || to.name).inputs.add(from.definition || from.name);
  }
  const list = [...definitions.values()];
  for (let round = 0; round < list.length; round++)
    for (const d of list) for (const input of d.inputs) d.column = Math.max(d.column, definitions.get(input).column + 1);
  // All stages that a stage rests on; an input that another input rests on is not drawn.
  for (const d of list.sort((a, b) => a.column - b.column)) {
    d.base = new Set(d.inputs);
    for (const input of d.inputs) for (const further of definitions.get(input).base) d.base.add(further);
    d.drawn = [...d.inputs].filter(input => ![...d.inputs].some(other => definitions.get(other).base.has(input)));
  }
  return definitions;
}

// Columns of boxes and bends; paths: every edge as the list of nodes it runs through.
function pipelineColumns(definitions) {
  const columns = [], paths = [];
  const place = node => (columns[node.column] = columns[node.column] || []).push(node);
  for (const d of definitions.values()) { d.before = []; d.after = []; place(d); }
  for (const d of definitions.values()) for (const input of d.drawn) {
    let at = definitions.get(input);
    const path = [at];
    for (let column = at.column + 1; column <= d.column; column++) {
      const next = column === d.column ? d : {bend: true, column, before: [], after: []};
      if (next.bend) place(next);
      at.after.push(next);
      next.before.push(at);
      path.push(next);
      at = next;
    }
    paths.push(path);
  }
  return {columns, paths};
}

const BOX = {width: 150, height: 58, gapX: 66, gapY: 20, bend: 14, pad: 10, page: 1036};
const heightOf = node => node.bend ? BOX.bend : BOX.height;

// Give every node its y. Order: a few sweeps to the mean of the neighbours' places; then columns are centred.
function pipelineLayout(columns) {
  if (columns.length > 5) BOX.width = 146;
  BOX.gapX = Math.max(28, Math.min(66, (BOX.page - 2 * BOX.pad - columns.length * BOX.width) / Math.max(1, columns.length - 1)));
  const mean = nodes => nodes.reduce((sum, n) => sum + n.place, 0) / nodes.length;
  const number = column => column.forEach((node, i) => { node.place = (i + .5) / column.length; });
  columns.forEach(number);
  for (let sweep = 0; sweep < 8; sweep++) {
    const forward = sweep % 2 === 0;
    for (const column of forward ? columns : [...columns].reverse()) {
      for (const node of column) {
        const near = forward ? node.before : node.after;
        node.wish = near.length ? mean(near) : node.place;
      }
      column.sort((a, b) => a.wish - b.wish);
      number(column);
    }
  }
  const tall = column => column.reduce((sum, node) => sum + heightOf(node) + BOX.gapY, -BOX.gapY);
  const height = Math.max(...columns.map(tall));
  for (const column of columns) {
    let y = BOX.pad + (height - tall(column)) / 2;
    for (const node of column) {
      node.x = BOX.pad + node.column * (BOX.width + BOX.gapX);
      node.y = y;
      node.middle = y + heightOf(node) / 2;
      y += heightOf(node) + BOX.gapY;
    }
  }
  return {width: columns.length * (BOX.width + BOX.gapX) - BOX.gapX + 2 * BOX.pad, height: height + 2 * BOX.pad};
}

function pipelineCurve(path) {
  let d = "";
  for (let i = 0; i + 1 < path.length; i++) {
    const from = path[i], to = path[i + 1], x1 = from.x + BOX.width, x2 = to.x, half = (x2 - x1) / 2;
    d += `${i === 0 ? `M${x1},${from.middle}` : ""} C${x1 + half},${from.middle} ${x2 - half},${to.middle} ${x2},${to.middle}`;
    if (to.bend) d += ` H${to.x + BOX.width}`;
  }
  return d;
}

function drawPipeline(parent) {
  const definitions = pipelineNodes(), {columns, paths} = pipelineColumns(definitions), {width, height} = pipelineLayout(columns);
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  const add = (tag, attributes, text, to) => {
    const node = document.createElementNS(ns, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null && text !== undefined) node.textContent = text;
    (to || svg).append(node);
    return node;
  };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("style", `width:${width}px;max-width:none;height:${height}px;display:block`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "the stages and what each takes from which");
  for (const path of paths) add("path", {d: pipelineCurve(path), fill: "none", stroke: "var(--soft)", "stroke-opacity": ".45", "stroke-width": "1.5"});
  const tints = {"build-data": "#8a6d3b", tokenize: "#6b7a90", train: "#3557b0", evaluate: "#2a9d6f", generate: "#8a63c9", export: "#a5762b"};
  for (const d of definitions.values()) {
    const failed = d.stages.some(s => s.state === "failed"), open = d.stages.some(s => s.state !== "done");
    const group = add("g", {});
    const seconds = d.stages.reduce((sum, s) => sum + (s.seconds || 0), 0), n = d.stages.length;
    add("title", {}, d.stages.map(s => `${s.name}: ${s.state}${s.cached ? ", cached" : ""}`).join("\n"), group);
    if (n > 1) add("rect", {x: d.x + 5, y: d.y - 5, width: BOX.width, height: BOX.height, rx: 9, fill: "var(--card)", stroke: "var(--line)"}, null, group);
    add("rect", {x: d.x, y: d.y, width: BOX.width, height: BOX.height, rx: 9, fill: "var(--card)", stroke: failed ? "var(--bad)" : "var(--line)", "stroke-width": failed ? 2 : 1.2, "stroke-dasharray": open && !failed ? "5 4" : "none"}, null, group);
    add("rect", {x: d.x, y: d.y + 9, width: 4, height: BOX.height - 18, rx: 2, fill: tints[d.kind] || "#777"}, null, group);
    add("text", {x: d.x + 14, y: d.y + 24, "font-size": 14, "font-weight": 600, fill: "var(--ink)"}, d.name.length > 17 ? d.name.slice(0, 16) + "…" : d.name, group);
    const detail = [d.kind + (n > 1 ? ` ×${n}` : ""), seconds >= .05 ? fmt.seconds(seconds) : ""].filter(Boolean).join(" · ");
    add("text", {x: d.x + 14, y: d.y + 43, "font-size": 11.2, fill: "var(--soft)"}, detail, group);
  }
  parent.append(el("div", {class: "card scroll"}, svg));
}
