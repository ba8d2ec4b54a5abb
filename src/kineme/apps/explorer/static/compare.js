// Two encoders on one set: both maps, one colour (how many of ten neighbours they share), clips that changed most.

import { ask, make } from "./wire.js";
import { ramp, rgb, theme } from "./colours.js";
import { Splatter } from "./splat.js";
import { sized } from "./player.js";
import { state, set, on } from "./state.js";

let box = null, data = null, open = null, splatters = [], chosen = null, dress = () => {};

export async function compare(where, opener) {
  box = where; open = opener;
  data = data || (await ask("compare"));
  const [a, b] = data.runs, percent = (value) => (value === null ? "unknown" : Math.round(100 * value) + " %");
  const canvases = ["A", "B"].map((name, k) => make("canvas", { role: "img", "aria-label": `Map of ${data.runs[k].name}`, id: "map" + name }));
  splatters = canvases.map(() => new Splatter());
  const bars = Array.from({ length: data.k + 1 }, (_, n) => data.shared.reduce((sum, each) => sum + (each === n), 0));
  const most = Math.max(...bars, 1);
  const histogram = make("div", { className: "row", "aria-label": "How many clips share how many neighbours" }, ...bars.map((n, k) => make("button", { title: `${n} clips share ${k}`, onclick: () => { chosen = chosen === k ? null : k; set({ selected: new Set(chosen === null ? [] : [...data.row].filter((_, i) => data.shared[i] === k)) }); } }, `${k}: ${n}`)));
  dress = () => bars.forEach((n, k) => { histogram.children[k].style.borderBottom = `${2 + (8 * n) / most}px solid rgb(${ramp(k / Math.max(data.k, 1))})`; histogram.children[k].setAttribute("aria-pressed", chosen === k); });
  dress();
  const changed = [...data.row].map((row, i) => [data.shared[i], row]).sort((x, y) => x[0] - y[0] || x[1] - y[1]).slice(0, 40);
  const facts = (await ask("table?rows=" + changed.map(([, row]) => row).join(","))).rows, lists = make("div", { id: "lists" });
  const show = async (row) => {
    open(row);
    const both = await ask("compare/" + row), column = (name, rows, other) => make("div", {}, make("h2", {}, name), ...rows.map((each) => make("p", {}, other.some((o) => o.row === each.row) ? "● " : "○ ", make("button", { onclick: () => open(each.row) }, each.name), ` ${each.label || ""}`)));
    lists.replaceChildren(make("p", {}, `${both.about.name}: ${both.shared} of ${data.k} neighbours shared (●).`), make("div", { className: "two" }, column(a.name, both.a, both.b), column(b.name, both.b, both.a)));
  };
  where.replaceChildren(
    make("p", { id: "mean" }, `Of ${data.k} nearest neighbours ${data.mean.toFixed(2)} are shared on average. Nearest clip of the same class: ${a.name} ${percent(a.label)}, ${b.name} ${percent(b.label)}; of the same subject: ${percent(a.subject)}, ${percent(b.subject)}.`),
    make("div", { className: "two" }, ...canvases.map((canvas, k) => make("div", {}, make("h2", {}, data.runs[k].name), canvas))), make("p", { className: "note" }, `How many clips share how many of their ${data.k} neighbours; press one to see which:`), histogram,
    make("h2", {}, "Changed most"), make("div", { className: "row changed" }, ...facts.map((each, i) => make("button", { onclick: () => show(each.row) }, `${each.name} (${changed[i][0]})`))), lists);
  canvases.forEach((canvas, k) => canvas.addEventListener("click", (event) => {
    const r = canvas.getBoundingClientRect(), xy = k ? data.xyB : data.xyA, view = look(canvas, xy), d = canvas.width / r.width, x = ((event.clientX - r.left) * d - view.x) / view.scale, y = ((event.clientY - r.top) * d - view.y) / view.scale;
    let best = Infinity, found = -1;
    for (let i = 0; i < data.row.length; i++) { const far = (xy[2 * i] - x) ** 2 + (xy[2 * i + 1] - y) ** 2; if (far < best) { best = far; found = i; } }
    if (found >= 0 && Math.sqrt(best) * view.scale < 24) show(data.row[found]);
  }));
  requestAnimationFrame(paint);
}

function look(canvas, xy) {  // all of a map, with a margin
  let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
  for (let i = 0; i < xy.length; i += 2) { x0 = Math.min(x0, xy[i]); x1 = Math.max(x1, xy[i]); y0 = Math.min(y0, xy[i + 1]); y1 = Math.max(y1, xy[i + 1]); }
  const scale = Math.min((canvas.width - 30) / Math.max(x1 - x0, 1), (canvas.height - 30) / Math.max(y1 - y0, 1));
  return { scale, x: (canvas.width - (x0 + x1) * scale) / 2, y: (canvas.height - (y0 + y1) * scale) / 2 };
}

function paint() {
  if (!box || !box.isConnected || box.hidden || !data) return;
  const colours = Array.from({ length: data.k + 1 }, (_, k) => ramp(k / Math.max(data.k, 1)));
  const grey = state.selected.size ? Uint8Array.from(data.row, (row) => (state.selected.has(row) ? 0 : 1)) : null;
  ["A", "B"].forEach((name, k) => {
    const canvas = document.getElementById("map" + name);
    if (!canvas) return;
    const context = sized(canvas), xy = k ? data.xyB : data.xyA, view = look(canvas, xy);
    splatters[k].draw(context, xy, data.shared, colours, grey, rgb(theme.grey), data.row.length, view, rgb(theme.card));
    const at = data.row.indexOf(state.clip);
    if (at >= 0) { context.lineWidth = 3; context.strokeStyle = theme.accent; context.beginPath(); context.arc(xy[2 * at] * view.scale + view.x, xy[2 * at + 1] * view.scale + view.y, 9, 0, 7); context.stroke(); }
  });
}

on("selected clip tint theme", () => { dress(); paint(); });
