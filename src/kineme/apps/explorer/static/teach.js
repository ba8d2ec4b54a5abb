// Teach by example: labels by key, what the classifier makes of them, what to ask next. Each label is on the disk of the
// server before the answer comes; one that could not be saved is kept here and offered again.

import { ask, $, make, refill, save } from "./wire.js";
import { state, set, on } from "./state.js";
import { map } from "./map.js";
import { cards } from "./player.js";
import { add, clear } from "./panels.js";

const own = { name: "labels", kinds: [], rev: 0, labels: {}, counts: {}, at: null, waiting: [], asked: [], estimate: undefined, notices: [], kept: null, timer: 0, shownFor: "" };
let opened = false, open = () => {};
export const teach = { key, label, skip, undo: () => back(false), redo: () => back(true), own };

function take(answer, saved = false) {
  Object.assign(own, { kinds: answer.kinds, rev: answer.rev, labels: answer.labels, counts: answer.counts });
  if (saved) own.at = Date.now();
  if (answer.kind) {
    own.notices = answer.notices; own.ms = answer.ms;
    const codes = Uint16Array.from(answer.kind, (kind, i) => (kind === 255 || answer.margin[i] < 13 ? answer.kinds.length : kind));
    map.data.extra = answer.kind.some((kind) => kind !== 255) ? { codes, about: { name: "taught", kind: "class", categories: answer.kinds } } : null;
    if (map.data.extra && state.tab === "teach") set({ colour: "taught", tint: own.rev }); else set({ tint: own.rev });
  }
}

async function load() { take(await ask("teach/" + own.name)); opened = true; }

let line = Promise.resolve();  // one change after the other, in the order of the keys
function change(call) {
  line = line.then(async () => {
    try { if (!opened) await load(); take(await call(), true); own.kept = null; set({ problem: "" }); }
    catch (error) {
      if (error.code === "stale") { own.kept = call; own.problem = "The labels were changed in another tab. Refresh to see them; your label is kept here until then."; }
      else { own.kept = call; own.problem = `The last label is not saved: ${error.message} It is kept here.`; }
      if (error.status === 400) { own.kept = null; own.problem = error.message; }
    }
    show(); later();
  });
  return line;
}

export async function refresh() {
  const call = own.kept;
  own.problem = "";
  await load().catch((error) => { own.problem = error.message; });
  if (call) await change(call); else show();
}

const targets = () => (state.selected.size ? [...state.selected] : state.clip !== null ? [state.clip] : []);

function key(n) { if (n < own.kinds.length) label(own.kinds[n]); else { set({ tab: "teach" }); setTimeout(() => $("newkind")?.focus(), 150); } }

function label(kind, rows = targets()) {
  if (!rows.length) return;
  const from = state.clip;
  const source = state.selected.size ? "selection" : own.asked.some((each) => each.row === rows[0]) ? "suggestion" : "key";
  change(() => ask(`teach/${own.name}/labels`, { method: "POST", body: { rev: own.rev, ops: [{ rows, kind, source }] } })).then(() => { if (kind !== null && !own.kept && !state.selected.size) next(from); });
}

function skip() { own.asked = own.asked.filter((each) => each.row !== state.clip); next(); }

async function next(from = state.clip) {  // the next one to ask about plays by itself, unless another was chosen meanwhile
  try { own.asked = (await ask(`teach/${own.name}/ask?n=4`)).ask; } catch { return; }
  show();
  const other = own.asked.find((each) => each.row !== state.clip);
  if (other && state.tab === "teach" && state.clip === from) open(other.row);
}

function back(again) { change(() => ask(`teach/${own.name}/undo`, { method: "POST", body: { rev: own.rev, again } })); }

function kinds(names) { return change(() => ask("teach/" + own.name, { method: "PUT", body: { rev: own.rev, kinds: names } })); }

function later() {  // the estimate takes longer than a key press may
  clearTimeout(own.timer);
  own.timer = setTimeout(async () => { try { own.estimate = (await ask(`teach/${own.name}/estimate`)).estimate; show(); } catch { /* at the next label */ } }, 1000);
}

let panelBox = null, down = false, due = false;
function show() {  // never between the press and the release of a button, which would lose the click
  due = down;
  if (!down && state.tab === "teach" && panelBox) draw(panelBox);
}
addEventListener("pointerdown", () => { down = true; }, true);
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(() => { down = false; if (due) show(); }), true);

export async function TEACH(panel, opener) {
  panelBox = panel; open = opener;
  if (!opened) { await load(); later(); }
  if (!own.asked.length) own.asked = (await ask(`teach/${own.name}/ask?n=4`)).ask;
  await draw(panel);
}

async function draw(panel) {
  const focused = document.activeElement && document.activeElement.id === "newkind" ? document.activeElement.value : null;
  clear();
  const total = Object.values(own.counts).reduce((a, b) => a + b, 0), here = targets();
  const name = make("input", { id: "newkind", placeholder: own.kinds.length ? "+ new kind" : "name of a kind", maxLength: 80, "aria-label": "Name of a new kind" });
  const form = make("form", { className: "row", onsubmit: async (event) => { event.preventDefault(); const text = name.value.trim(); if (!text || own.kinds.includes(text)) return; name.value = ""; name.blur(); const rows = targets(); await kinds([...own.kinds, text]); if (!own.kept && rows.length) label(text, rows); } }, name, make("button", { type: "submit" }, "Add and label"));
  const grid = make("div", { className: "cards" });
  const said = own.estimate ? `Right ${Math.round(100 * own.estimate.accuracy)} % ± ${Math.round(100 * own.estimate.spread)} of the time, held out by ${own.estimate.by}, ${own.estimate.labels} labels: ` + Object.entries(own.estimate.kinds).map(([kind, value]) => `${kind} ${value.toFixed(2)}`).join(", ") : "An estimate appears from three labels of each kind on.";
  refill(panel,
    own.problem ? make("p", { role: "alert" }, own.problem, " ", make("button", { onclick: refresh }, own.kept ? "Refresh and try again" : "Refresh")) : "",
    make("p", { className: "note" }, `${total} labels, ${own.kinds.length} kinds${own.at ? ", saved" : ""}. ${here.length > 1 ? here.length + " selected clips get the label." : here.length ? (own.labels[here[0]] !== undefined ? "This clip: " + own.kinds[own.labels[here[0]]] : "This clip has no label.") : "Pick a clip, press 1 and type a name."}`),
    make("div", { className: "kinds" }, ...own.kinds.map((kind, n) => make("button", { title: `Label (${n + 1})`, onclick: () => label(kind) }, make("span", {}, n < 9 ? n + 1 : ""), make("span", { className: "name" }, kind), make("span", { className: "n" }, own.counts[kind] || 0)))),
    form,
    make("div", { className: "row" }, make("button", { title: "Ctrl Z", onclick: () => back(false) }, "Undo"), make("button", { onclick: () => back(true) }, "Redo"), make("button", { title: "Backspace", onclick: () => label(null) }, "Remove label"), make("button", { title: "X", onclick: skip }, "Skip")),
    ...own.notices.map((text) => make("p", {}, text)),
    make("p", { className: "note" }, said),
    make("h2", {}, "Next to ask"), grid,
    make("div", { className: "row" }, make("button", { onclick: () => fetchFile("labels", own.name + ".csv") }, "Export labels (CSV)"), make("button", { onclick: () => fetchFile("recogniser", own.name + ".zip") }, "Export recogniser")),
    make("p", { className: "note" }, `Unpacked, use it with: kineme predict ${own.name}/ new_files/`));
  if (focused !== null) { $("newkind").value = focused; $("newkind").focus(); }
  const asked = own.asked, found = await cards(asked.map((each) => each.row)).catch(() => []);
  if (own.asked !== asked || !grid.isConnected) return;
  asked.forEach((each, n) => {
    const canvas = make("canvas", { role: "img", "aria-label": "Suggested clip" }), p = each.p ? Object.entries(each.p).map(([kind, v]) => `${kind} ${v.toFixed(2)}`).join(" / ") : "";
    grid.append(make("div", { className: "card" + (each.row === state.clip ? " current" : "") }, make("button", { className: "figure", onclick: () => open(each.row) }, canvas, make("div", { className: "said" }, each.why === "between" ? "unsure" : "new ground"), make("div", { className: "said second", title: p }, p || "far from all labels"))));
    if (found[n]) add(canvas, found[n]);
  });
}

async function fetchFile(what, name) { try { save(name, await ask(`teach/${own.name}/export?what=${what}`)); own.problem = ""; } catch (error) { own.problem = error.message; } show(); }

on("clip selected", () => show());
addEventListener("focus", async () => {  // another tab may have changed them
  if (!opened) return;
  try { const { rev } = await ask(`teach/${own.name}/rev`); if (rev !== own.rev) { own.problem = "The labels were changed in another tab."; show(); } } catch { /* said elsewhere */ }
});
