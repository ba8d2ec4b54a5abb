// Lists: legend, filters, neighbours, what is selected.

import { ask, $, make, refill, save, csv, seconds } from "./wire.js";
import { state, set, on } from "./state.js";
import { palette, mark, theme } from "./colours.js";
import { about, map } from "./map.js";
import { cards, clock, draw, view } from "./player.js";

const data = map.data;
export const panels = {};  // tab -> what fills the panel

export function columns() {
  const choice = $("colour");
  const extra = data.extra ? [make("option", { value: "taught", selected: state.colour === "taught" }, "taught")] : [];
  choice.replaceChildren(...state.store.columns.map(({ name }) => make("option", { value: name, selected: name === state.colour }, name === "label" ? "class" : name)), ...extra);
}

export function legend() {
  columns();
  const facts = about(state.colour), list = $("legend");
  const lines = [];
  if (!facts) { list.replaceChildren(); return; }
  const colours = palette(facts);
  if (facts.kind === "number") {
    const bar = make("canvas", { className: "ramp", width: 160, height: 12, role: "img", "aria-label": "Ramp of colours" });
    const context = bar.getContext("2d");
    for (let i = 0; i < 64; i++) { context.fillStyle = `rgb(${colours[i]})`; context.fillRect(i * 2.5, 0, 3, 12); }
    list.replaceChildren(make("li", {}, bar, make("div", { className: "note" }, `${facts.min.toPrecision(3)} to ${facts.max.toPrecision(3)}`)));
    return;
  }
  const counts = new Uint32Array(facts.categories.length + 1);
  if (data.codes) for (let i = 0; i < data.count; i++) counts[data.codes[i]]++;
  facts.categories.slice(0, 60).forEach((name, code) => {
    const shape = make("canvas", { width: 28, height: 28, "aria-hidden": "true" });
    mark(shape.getContext("2d"), code, 28, colours[code]);
    const show = (keep) => set({ keep });
    lines.push(make("li", {}, make("button", {
      title: name, "aria-pressed": state.kept === code, onclick: () => { set({ kept: state.kept === code ? null : code }); show(state.kept); legend(); },
      onpointerenter: () => show(code), onpointerleave: () => show(state.kept ?? null),
    }, shape, make("span", { className: "name" }, name), make("span", { className: "n" }, counts[code]))));
  });
  if (facts.categories.length > 60) lines.push(make("li", { className: "note" }, `and ${facts.categories.length - 60} more`));
  refill(list, ...lines);
}

export function filters() {
  const box = $("filters");
  box.replaceChildren();
  for (const { name, kind, categories } of state.store.columns) {
    if (kind !== "class" || categories.length < 2 || categories.length > 500) continue;
    const choice = make("select", { onchange: () => set({ filter: { ...state.filter, [name]: choice.value } }) }, make("option", { value: "" }, "any"), ...categories.map((each) => make("option", { value: each, selected: state.filter[name] === each }, each)));
    box.append(make("label", {}, name === "label" ? "class" : name, choice));
  }
  box.append(make("button", { onclick: () => { set({ filter: {}, kept: null, keep: null }); filters(); } }, "Clear filters"));
}

// ------------------------------------------------------------------------------------------------------ neighbours

let shown = [], ticket = 0;

export async function search() {
  const mine = ++ticket;
  if (state.clip === null && !state.upload) { set({ hits: [] }); return; }
  const query = state.upload ? { upload: state.upload.upload } : { row: state.clip };
  if (state.from !== null) Object.assign(query, { from: state.from, to: state.to });
  if (state.person !== null) query.person = state.person;
  const body = { query, plus: state.plus, minus: state.minus, k: 12, mirror: state.mirror, windows: state.windows || state.from !== null, where: state.where };
  try {
    const answer = await ask("search", { method: "POST", body });
    if (mine === ticket) set({ hits: answer.hits, answer, failed: null });
  } catch (error) {
    if (mine === ticket) set({ hits: [], answer: null, failed: error.message });
  }
}

export const wanted = () => state.hits.map((hit) => hit.row);

panels.neighbours = async (panel, open) => {
  const { hits, answer, failed } = state;
  const own = state.upload ? state.upload.name : null;
  shown = [];
  if (failed) { refill(panel, make("p", {}, "Search failed: " + failed), make("button", { onclick: search }, "Try again")); return; }
  if (!answer) { refill(panel, make("p", { className: "note" }, state.clip === null && !own ? "Click a dot, or drop a file. What moves like it shows here." : "Searching.")); return; }
  const head = make("p", { className: "note" }, `Nearest by cosine, full vectors, ${answer.exact ? "exact" : `approximate (recall ${answer.recall.toFixed(2)} when built)`}, ${answer.ms.toFixed(1)} ms, among ${answer.among.toLocaleString("en")}.`);
  const toggle = (key, text) => make("button", { "aria-pressed": state[key], onclick: () => set({ [key]: !state[key] }) }, text);
  const who = make("select", { "aria-label": "Subjects", onchange: () => set({ where: who.value && subject() ? { subject: who.value === "only" ? subject() : { not: subject() } } : {} }) },
    ...[["", "any subject"], ["not", "other subjects"], ["only", "same subject"]].map(([value, text]) => make("option", { value, selected: (value === "only" && typeof state.where.subject === "string") || (value === "not" && typeof state.where.subject === "object") }, text)));
  const controls = make("div", { className: "row" }, toggle("mirror", "mirror too"), state.store.windows && toggle("windows", "windows"), subject() && who,
    (state.plus.length || state.minus.length) ? make("button", { onclick: () => set({ plus: [], minus: [] }) }, `clear + ${state.plus.length} − ${state.minus.length}`) : null,
    make("button", { onclick: () => copy(hits) }, "copy names"), make("button", { onclick: () => list(hits, "neighbours.csv") }, "export CSV"));
  if (!hits.length) { refill(panel, head, controls, make("p", {}, state.store.clips < 2 ? "Only 1 clip in this store." : "Nothing else passes.")); return; }
  const found = await cards(hits.map((hit) => hit.row));
  if (state.hits !== hits || state.tab !== "neighbours") return;
  const grid = make("div", { className: "cards" });
  hits.forEach((hit, n) => grid.append(card(hit, found[n], open)));
  refill(panel, head, controls, grid);
};

function subject() {
  const column = state.store.columns.find((each) => each.name === "subject");
  return column && column.categories.length > 1 && state.about && state.about.subject ? state.about.subject : null;
}

function card(hit, clip, open) {
  const canvas = make("canvas", { role: "img", "aria-label": `${hit.name}${hit.label ? ", " + hit.label : ""}` });
  const bar = make("div", { className: "bar" });
  bar.style.width = Math.max(0, Math.min(1, hit.score)) * 100 + "%";
  const part = hit.from !== undefined;
  const change = (key) => { const other = key === "plus" ? "minus" : "plus"; set({ [key]: state[key].includes(hit.row) ? state[key].filter((r) => r !== hit.row) : [...state[key], hit.row], [other]: state[other].filter((r) => r !== hit.row) }); };
  const found = make("div", { className: "card", "data-row": hit.row },
    make("button", { className: "figure", title: hit.name, onclick: () => open(hit.row, part ? { at: hit.from } : {}) }, canvas, bar,
      make("div", { className: "said" }, hit.score.toFixed(3), hit.mirrored ? " ⇋" : "", hit.label ? " " + hit.label : ""),
      make("div", { className: "said second" }, part ? `${hit.from.toFixed(1)} to ${hit.to.toFixed(1)} s` : "", part ? " · " : "", hit.name)),
    make("div", { className: "more" }, make("button", { title: "More like this (+)", "aria-label": "More like this", "aria-pressed": state.plus.includes(hit.row), onclick: () => change("plus") }, "+"),
      make("button", { title: "Less like this (−)", "aria-label": "Less like this", "aria-pressed": state.minus.includes(hit.row), onclick: () => change("minus") }, "−")));
  found.addEventListener("keydown", (event) => { if (event.key === "+" || event.key === "-") { change(event.key === "+" ? "plus" : "minus"); event.stopPropagation(); event.preventDefault(); } });
  const seen = view();
  seen.mirror = hit.mirrored;
  shown.push({ canvas, clip, seen, hit });
  return found;
}

const visible = new WeakSet();
const watch = new IntersectionObserver((entries) => { for (const each of entries) each.isIntersecting ? visible.add(each.target) : visible.delete(each.target); });
export function add(canvas, clip, hit = {}) { shown.push({ canvas, clip, seen: view(), hit }); }

clock.calls.add(() => {
  if (document.hidden) return;
  for (const each of shown) {
    if (!each.watched) { watch.observe(each.canvas); each.watched = true; }
    if (!visible.has(each.canvas) || !each.canvas.isConnected) continue;
    const { clip, hit } = each, begin = hit.from || 0, long = (hit.to || clip.length) - begin;
    const t = begin + Math.min(clock.time % (long + 0.3), long);
    if (t !== each.last || each.ink !== theme.ink) { draw(each.canvas, clip, t, each.seen, { floor: false }); each.last = t; each.ink = theme.ink; }
  }
});

export function clear() { shown = []; }

// -------------------------------------------------------------------------------------------------------- selected

panels.selected = async (panel, open) => {
  const rows = [...state.selected];
  clear();
  if (!rows.length) { refill(panel, make("p", { className: "note" }, "Draw a box, a lasso or a polygon on the map, or press S on a dot. What is chosen is listed here.")); return; }
  const answer = await ask("table?rows=" + rows.slice(0, 200).join(","));
  if (state.tab !== "selected") return;
  refill(panel, 
    make("p", {}, `${rows.length.toLocaleString("en")} selected.`),
    make("div", { className: "row" }, make("button", { onclick: () => exportAll(rows) }, "export CSV"), make("button", { onclick: () => copyAll(rows) }, "copy names"), make("button", { onclick: () => set({ selected: new Set() }) }, "clear")),
    table(answer.rows, open));
};

export function table(rows, open, more = null) {  // more: what each row gets in a column of its own
  const head = ["name", "label", "subject", "seconds"];
  return make("table", {}, make("thead", {}, make("tr", {}, ...head.map((each) => make("th", { scope: "col" }, each === "label" ? "class" : each)), more && make("th", {}))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, make("td", {}, make("button", { onclick: () => open(row.row) }, row.name)), ...head.slice(1).map((key) => make("td", {}, key === "seconds" ? seconds(row.seconds) : row[key] ?? "")), more && make("td", {}, more(row))))));
}

async function facts(rows) {
  const found = [];
  for (let i = 0; i < rows.length; i += 5000) found.push(...(await ask("table?rows=" + rows.slice(i, i + 5000).join(","))).rows);
  return found;
}
async function exportAll(rows) { list(await facts(rows), "selected.csv"); }
async function copyAll(rows) { copy(await facts(rows)); }

function list(rows, name) {
  save(name, csv([["name", "start", "end", "score", "class", "subject", "camera"], ...rows.map((r) => [r.name, r.from ?? 0, r.to ?? r.seconds, r.score ?? "", r.label, r.subject, r.camera])]));
}
function copy(rows) { navigator.clipboard.writeText(rows.map((row) => row.name).join("\n")).catch(() => set({ problem: "The browser did not allow copying." })); }

// ------------------------------------------------------------------------------------------------------- the list

export async function listed(open, page = 0) {
  const box = $("list"), answer = await ask(`table?at=${page * 200}&n=200`), last = Math.ceil(answer.total / 200) - 1;
  box.replaceChildren(make("div", { className: "row" }, make("span", {}, `Clips ${page * 200 + 1} to ${page * 200 + answer.rows.length} of ${answer.total}`),
    make("button", { disabled: page === 0, onclick: () => listed(open, page - 1) }, "previous"), make("button", { disabled: page >= last, onclick: () => listed(open, page + 1) }, "next")), table(answer.rows, open));
}

on("clip upload from to person plus minus mirror windows where", search);
