// A long recording on one line: what moves when, and where else something like a chosen part of it is.

import { ask, make, save, csv } from "./wire.js";
import { state, set } from "./state.js";
import { theme } from "./colours.js";
import { sized } from "./player.js";

const SHORT = 4;  // seconds up to which recordings are not cut into windows
const now = { row: null, line: null, part: null, hits: [], least: 0.5, at: -1, struck: [] };
export const record = now;

export async function recording(box, open) {
  const list = (await ask("recordings")).rows;
  if (now.row === null || !list.some((each) => each.row === now.row)) now.row = (list.find((each) => each.row === state.clip && each.seconds > SHORT) || list[0])?.row ?? null;
  if (now.row === null) { box.replaceChildren(make("p", {}, "No recordings.")); return; }
  const choice = make("select", { "aria-label": "Recording", onchange: () => { Object.assign(now, { row: Number(choice.value), part: null, hits: [], struck: [], at: -1 }); recording(box, open); } }, ...list.map((each) => make("option", { value: each.row, selected: each.row === now.row }, `${each.name}, ${each.seconds === null ? each.frames + " frames" : each.seconds.toFixed(1) + " s"}`)));
  now.line = await ask("recording/" + now.row);
  const canvas = make("canvas", { id: "timeline", tabIndex: 0, role: "img", "aria-label": `Activity over ${now.line.seconds.toFixed(0)} seconds; drag to choose a part` });
  const said = make("p", { className: "note", role: "status", id: "found" });
  const from = make("input", { type: "number", step: "any", min: 0, "aria-label": "Part begins, seconds", id: "partfrom" }), to = make("input", { type: "number", step: "any", min: 0, "aria-label": "Part ends, seconds", id: "partto" });
  const least = make("input", { type: "range", min: 0.5, max: 1, step: 0.005, value: now.least, "aria-label": "Least score", id: "least", oninput: () => { now.least = Number(least.value); now.at = -1; paint(); } });
  const shown = () => now.hits.filter((hit) => hit.score >= now.least).sort((a, b) => a.from - b.from);
  const find = async () => {
    if (from.value === "" || to.value === "") { said.textContent = "Choose a part first: drag over it, or type where it begins and ends."; return; }
    now.part = [Number(from.value), Number(to.value)];
    try {
      const answer = await ask(`recording/${now.row}/search`, { method: "POST", body: { from: now.part[0], to: now.part[1], minus: now.struck } });
      now.hits = answer.hits; now.least = answer.threshold; least.value = now.least; now.at = -1; paint();
    } catch (error) { said.textContent = error.message; }
  };
  const visit = (step) => {
    const hits = shown();
    if (!hits.length) return;
    now.at = Math.min(Math.max(now.at + step, 0), hits.length - 1);
    open(now.row, { at: hits[now.at].from }); paint();
  };
  const strike = () => { const hit = shown()[now.at]; if (hit) { now.struck.push([hit.from, hit.to]); find(); } };
  function paint() {
    const context = sized(canvas), { width, height } = canvas, n = now.line.speed.length, all = now.line.seconds;
    context.clearRect(0, 0, width, height);
    const most = [...now.line.speed].sort((a, b) => a - b)[Math.floor(n * 0.99)] || 1, base = height * 0.6, people = now.line.people.shape[1];
    context.fillStyle = theme.trunk;
    for (let x = 0; x < width; x++) { const v = now.line.speed[Math.floor((x / width) * n)] / most; context.fillRect(x, base - Math.min(v, 1) * (base - 6), 1, Math.min(v, 1) * (base - 6)); }
    const bar = (hit, y, h, colour) => { context.fillStyle = colour; context.fillRect((hit.from / all) * width, y, Math.max(2, ((hit.to - hit.from) / all) * width), h); };
    shown().forEach((hit, i) => bar(hit, base + 6, height * 0.15, i === now.at ? theme.star : theme.accent));
    for (const [a, b] of now.struck) bar({ from: a, to: b }, base + 6, height * 0.15, theme.grey);
    if (now.part) bar({ from: now.part[0], to: now.part[1] }, 0, 5, theme.left);
    for (let m = 0; m < people; m++) for (let x = 0; x < width; x += 2) if (now.line.people[Math.floor((x / width) * n) * people + m]) { context.fillStyle = theme.right; context.fillRect(x, height - 6 - 7 * m, 2, 4); }
    if (now.part && now.hits.length) said.textContent = `${shown().length} found at a score of ${now.least.toFixed(3)} and above.`;
    else if (now.part) said.textContent = "Nothing found that is like this part.";
  }
  let begin = null;
  const second = (event) => { const b = canvas.getBoundingClientRect(); return (Math.min(Math.max(event.clientX - b.left, 0), b.width) / b.width) * now.line.seconds; };
  canvas.addEventListener("pointerdown", (event) => { begin = second(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => { if (begin !== null) { const here = second(event); now.part = [Math.min(begin, here), Math.max(begin, here)]; from.value = now.part[0].toFixed(2); to.value = now.part[1].toFixed(2); paint(); } });
  canvas.addEventListener("pointerup", (event) => { const here = second(event); if (begin !== null && Math.abs(here - begin) < now.line.seconds / 500) open(now.row, { at: here }); begin = null; });
  box.onkeydown = (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey) return;
    const call = { j: () => visit(1), k: () => visit(-1), "-": strike }[event.key.toLowerCase()];
    if (call) { call(); event.preventDefault(); event.stopPropagation(); }
  };
  const name = list.find((each) => each.row === now.row)?.name;
  box.replaceChildren(make("div", { className: "row" }, choice), canvas,
    make("div", { className: "row" }, "part", from, "to", to, "s", make("button", { id: "findlike", onclick: find }, "Find more like this here")),
    make("div", { className: "row" }, make("label", { htmlFor: "least" }, "threshold"), least, make("button", { title: "K", onclick: () => visit(-1) }, "previous"), make("button", { title: "J", onclick: () => visit(1) }, "next"), make("button", { title: "−", onclick: strike }, "strike"),
      make("button", { onclick: () => save("found.csv", csv([["file", "start", "end", "score"], ...shown().map((hit) => [name, hit.from, hit.to, hit.score])])) }, "export CSV")), said,
    make("p", { className: "note" }, "Windows of 2 s, one each half second. J and K go through what was found, − strikes one and searches again."));
  if (now.part) { from.value = now.part[0].toFixed(2); to.value = now.part[1].toFixed(2); }
  paint();
  new ResizeObserver(paint).observe(canvas);
  if (state.clip !== now.row) set({ clip: now.row });
}
