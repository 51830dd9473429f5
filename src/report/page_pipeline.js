// The pipeline as a drawing: columns by distance from the raw data, one box a stage definition, curves for inputs.
"use strict";

function drawPipeline(parent) {
  const definitions = new Map();  // name -> {name, kind, stages}
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

  const columns = [];
  for (const d of list) (columns[d.column] = columns[d.column] || []).push(d);
  const boxW = 150, boxH = 58, gapX = 66, gapY = 22, pad = 8;
  const tallest = Math.max(...columns.map(c => c.length));
  const height = tallest * (boxH + gapY) - gapY + 2 * pad, width = columns.length * (boxW + gapX) - gapX + 2 * pad;
  columns.forEach((column, x) => {
    // order by where the inputs lie, so that curves cross less
    const place = d => { const ys = [...d.inputs].map(i => definitions.get(i).y || 0); return ys.length ? ys.reduce((a, b) => a + b, 0) / ys.length : 0; };
    if (x > 0) column.sort((a, b) => place(a) - place(b));
    const top = (height - (column.length * (boxH + gapY) - gapY)) / 2;
    column.forEach((d, y) => { d.x = pad + x * (boxW + gapX); d.y = top + y * (boxH + gapY); });
  });

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
  for (const d of list) for (const input of d.inputs) {
    const from = definitions.get(input), x1 = from.x + boxW, y1 = from.y + boxH / 2, x2 = d.x, y2 = d.y + boxH / 2, bend = Math.max(28, (x2 - x1) / 2);
    add("path", {d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`, fill: "none", stroke: "var(--soft)", "stroke-opacity": ".45", "stroke-width": "1.5"});
  }
  const tints = {"build-data": "#8a6d3b", tokenize: "#6b7a90", train: "#3557b0", evaluate: "#2a9d6f", generate: "#8a63c9", export: "#a5762b"};
  for (const d of list) {
    const failed = d.stages.some(s => s.state === "failed"), open = d.stages.some(s => s.state !== "done");
    const group = add("g", {});
    const seconds = d.stages.reduce((sum, s) => sum + (s.seconds || 0), 0), n = d.stages.length;
    add("title", {}, d.stages.map(s => `${s.name}: ${s.state}${s.cached ? ", cached" : ""}`).join("\n"), group);
    if (n > 1) add("rect", {x: d.x + 5, y: d.y - 5, width: boxW, height: boxH, rx: 9, fill: "var(--card)", stroke: "var(--line)"}, null, group);
    add("rect", {x: d.x, y: d.y, width: boxW, height: boxH, rx: 9, fill: "var(--card)", stroke: failed ? "var(--bad)" : "var(--line)", "stroke-width": failed ? 2 : 1.2, "stroke-dasharray": open && !failed ? "5 4" : "none"}, null, group);
    add("rect", {x: d.x, y: d.y + 9, width: 4, height: boxH - 18, rx: 2, fill: tints[d.kind] || "#777"}, null, group);
    add("text", {x: d.x + 14, y: d.y + 23, "font-size": 14, "font-weight": 600, fill: "var(--ink)"}, d.name.length > 17 ? d.name.slice(0, 16) + "…" : d.name, group);
    const detail = [d.kind, n > 1 ? `× ${n}` : "", seconds >= .05 ? fmt.seconds(seconds) : ""].filter(Boolean).join(" · ");
    add("text", {x: d.x + 14, y: d.y + 42, "font-size": 11.5, fill: "var(--soft)"}, detail, group);
  }
  parent.append(el("div", {class: "card scroll"}, svg));
}
