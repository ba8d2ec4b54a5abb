// A long recording on one line: what moves when, and where else something like a chosen part of it is.

import { ask, $, make, save, csv } from "./wire.js";
import { state, set, on } from "./state.js";
import { theme } from "./colours.js";
import { sized } from "./player.js";

const SHORT = 4;  // seconds up to which recordings are not cut into windows
const GUTTER = 48, WHOLE = 26, NEAR = 7;  // pixels: names of the rows, height of the overview, reach of an end
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 36000];
const now = { row: null, line: null, part: null, hits: [], least: 0.5, at: -1, struck: [], confirmed: [], searched: false, view: [0, 1] };
export const record = now;
export const keys = {};  // what keys do while this is shown

const fresh = (row) => Object.assign(now, { row, part: null, hits: [], struck: [], confirmed: [], at: -1, searched: false });
const overlap = (a, b) => Math.min(a.to, b.to) - Math.max(a.from, b.from) > 0.5 * Math.min(a.to - a.from, b.to - b.from);
export const shown = () => [...now.confirmed, ...now.hits.filter((hit) => hit.score >= now.least && !now.confirmed.some((each) => overlap(hit, each)) && !now.struck.some(([from, to]) => overlap(hit, { from, to })))].sort((a, b) => a.from - b.from);
const unit = () => (now.line.known ? " s" : "");
const clock = (at) => (now.line.seconds < 90 || !now.line.known ? `${+at.toFixed(2)}${unit()}` : `${Math.floor(at / 60)}:${String(+(at % 60).toFixed(1)).padStart(2, "0")}`);

let repaint = () => {};
on("theme", () => repaint());

export async function recording(box, open) {
  const list = (await ask("recordings")).rows;
  if (now.row === null || !list.some((each) => each.row === now.row)) fresh((list.find((each) => each.row === state.clip && each.seconds > SHORT) || list[0])?.row ?? null);
  if (now.row === null) { box.replaceChildren(make("p", {}, "No recordings.")); return; }
  const choice = make("select", { "aria-label": "Recording", onchange: () => { fresh(Number(choice.value)); recording(box, open); } }, ...list.map((each) => make("option", { value: each.row, selected: each.row === now.row }, `${each.name}, ${each.seconds === null ? each.frames + " frames" : each.seconds.toFixed(1) + " s"}`)));
  now.line = await ask("recording/" + now.row);
  now.view = [0, now.line.seconds];
  const name = list.find((each) => each.row === now.row)?.name, all = now.line.seconds, people = now.line.people.shape[1];
  const canvas = make("canvas", { id: "timeline", tabIndex: 0, role: "img", "aria-label": `Activity over ${all.toFixed(0)}${unit() || " frames"}; drag to choose a part` });
  canvas.style.height = 166 + 9 * Math.min(people, 4) + "px";
  const said = make("p", { className: "note", role: "status", id: "found" }), rows = make("div", { id: "hits" });
  const number = (label, id) => make("input", { type: "number", step: "any", min: 0, "aria-label": label, id });
  const from = number("Part begins, seconds", "partfrom"), to = number("Part ends, seconds", "partto");
  const least = make("input", { type: "range", min: 0.5, max: 1, step: 0.005, value: now.least, "aria-label": "Least score", id: "least", oninput: () => { now.least = Number(least.value); now.at = -1; paint(); } });
  const find = async () => {
    if (from.value === "" || to.value === "") { said.textContent = "Choose a part first: drag over it, or type where it begins and ends."; return; }
    now.part = [Number(from.value), Number(to.value)];
    try {
      const answer = await ask(`recording/${now.row}/search`, { method: "POST", body: { from: now.part[0], to: now.part[1], minus: now.struck } });
      now.searched = true; now.hits = answer.hits; now.least = answer.threshold; least.value = now.least; now.at = -1; paint();
    } catch (error) { said.textContent = error.message; }
  };
  const show = (place) => {
    const hits = shown();
    if (!hits.length) return;
    now.at = Math.min(Math.max(place, 0), hits.length - 1);
    const { from: begin, to: end } = hits[now.at], wide = now.view[1] - now.view[0];
    if (begin < now.view[0] || end > now.view[1]) look((begin + end) / 2 - wide / 2, wide);
    open(now.row, { at: begin }); paint();
  };
  const visit = (step) => show(now.at + step);
  const strike = () => { const hit = shown()[now.at]; if (hit) { now.struck.push([hit.from, hit.to]); now.confirmed = now.confirmed.filter((each) => each !== hit); find(); } };
  const confirm = () => {
    const hit = shown()[now.at];
    if (!hit) return;
    if (now.confirmed.includes(hit)) now.confirmed = now.confirmed.filter((each) => each !== hit); else now.confirmed.push({ ...hit });
    paint();
  };
  const move = (hit, change) => {  // an end that was moved stays: what was found becomes what a person says
    if (!now.confirmed.includes(hit)) { hit = { ...hit }; now.confirmed.push(hit); }
    Object.assign(hit, change);
    [hit.from, hit.to] = [Math.max(0, Math.min(hit.from, hit.to - 0.05)), Math.min(all, Math.max(hit.to, hit.from + 0.05))];
    now.at = shown().indexOf(hit);
    return hit;
  };
  function look(begin, wide) {
    wide = Math.min(Math.max(wide, Math.min(2, all)), all);
    begin = Math.min(Math.max(begin, 0), all - wide);
    now.view = [begin, begin + wide]; paint();
  }
  const zoom = (factor, at = (now.view[0] + now.view[1]) / 2) => look(at - (at - now.view[0]) * factor, (now.view[1] - now.view[0]) * factor);

  function paint() {
    if (!canvas.isConnected) return;
    const context = sized(canvas), d = canvas.width / canvas.clientWidth, width = canvas.clientWidth, height = canvas.clientHeight, [a, b] = now.view;
    const x = (at) => GUTTER + ((at - a) / (b - a)) * (width - GUTTER - 4), whole = (at) => GUTTER + (at / all) * (width - GUTTER - 4);
    const n = now.line.speed.length, most = [...now.line.speed].sort((p, q) => p - q)[Math.floor(n * 0.99)] || 1;
    context.setTransform(1, 0, 0, 1, 0, 0); context.clearRect(0, 0, canvas.width, canvas.height); context.setTransform(d, 0, 0, d, 0, 0);
    const bars = (top, high, begin, end) => {
      for (let px = GUTTER; px < width - 4; px++) {
        const first = begin + ((px - GUTTER) / (width - GUTTER - 4)) * (end - begin), last = begin + ((px + 1 - GUTTER) / (width - GUTTER - 4)) * (end - begin);
        let v = 0;
        for (let i = Math.floor((first / all) * n); i <= Math.min(Math.floor((last / all) * n), n - 1); i++) v = Math.max(v, now.line.speed[i]);
        const h = Math.min(v / most, 1) * high;
        context.fillRect(px, top + high - h, 1, h);
      }
    };
    const lane = WHOLE + 8, high = 66, found = lane + high + 6, deep = 16, seen = found + deep + 8;
    context.font = "12px system-ui, sans-serif"; context.fillStyle = theme.second; context.textBaseline = "middle"; context.textAlign = "left";
    for (const [text, y] of [["all", WHOLE / 2], ["moves", lane + high / 2], ["found", found + deep / 2], ["seen", seen + 4.5 * Math.min(people, 4) - 2]]) context.fillText(text, 6, y);
    context.fillStyle = theme.border; bars(2, WHOLE - 2, 0, all);
    context.fillStyle = theme.trunk; bars(lane, high, a, b);
    const bar = (part, where, y, h, colour) => { context.fillStyle = colour; const left = Math.max(GUTTER, where(part.from)), right = Math.min(width - 4, where(part.to)); if (right > left - 2) context.fillRect(left, y, Math.max(2, right - left), h); };
    if (now.part) { context.globalAlpha = 0.22; bar({ from: now.part[0], to: now.part[1] }, x, lane, high, theme.left); context.globalAlpha = 1; bar({ from: now.part[0], to: now.part[1] }, x, lane - 4, 3, theme.left); }
    const hits = shown();
    for (const [from, to] of now.struck) bar({ from, to }, x, found, deep, theme.grey);
    hits.forEach((hit, i) => {
      const sure = now.confirmed.includes(hit);
      bar(hit, whole, WHOLE - 4, 4, theme.accent);
      bar(hit, x, found, deep, theme.accent);
      if (!sure) bar({ from: hit.from, to: hit.to }, (at) => x(at) + (at === hit.from ? 2 : -2), found + 2, deep - 4, theme.card);
      if (i === now.at) { context.lineWidth = 2; context.strokeStyle = theme.star; context.strokeRect(x(hit.from) - 2, found - 2, Math.max(2, x(hit.to) - x(hit.from)) + 4, deep + 4); }
    });
    if (b - a < all) { context.lineWidth = 1.5; context.strokeStyle = theme.accent; context.strokeRect(whole(a), 1, Math.max(3, whole(b) - whole(a)), WHOLE); }
    for (let m = 0; m < Math.min(people, 4); m++) for (let px = GUTTER; px < width - 4; px++) {
      const at = a + ((px - GUTTER) / (width - GUTTER - 4)) * (b - a);
      if (now.line.people[Math.min(Math.floor((at / all) * n), n - 1) * people + m]) { context.fillStyle = theme.second; context.fillRect(px, seen + 9 * m, 1, 4); }
    }
    const step = TICKS.find((each) => (each / (b - a)) * (width - GUTTER) > 64) || TICKS.at(-1), floor = height - 18;
    context.fillStyle = theme.second; context.strokeStyle = theme.border; context.lineWidth = 1; context.textAlign = "center"; context.beginPath();
    for (let at = Math.ceil(a / step - 1e-9) * step; at <= b + 1e-9; at += step) { context.moveTo(x(at), floor); context.lineTo(x(at), floor + 4); context.fillText(clock(at), Math.min(Math.max(x(at), GUTTER), width - 24), floor + 11); }
    context.moveTo(GUTTER, floor); context.lineTo(width - 4, floor); context.stroke();
    tell(hits);
  }
  repaint = paint;

  function tell(hits) {
    const many = hits.length === 1 ? "1 found" : hits.length + " found";
    if (now.searched) said.textContent = now.hits.length || hits.length ? `${many} at a score of ${now.least.toFixed(3)} and above${now.confirmed.length ? `, ${now.confirmed.length} confirmed` : ""}.` : "Nothing found that is like this part.";
    if (rows.contains(document.activeElement) && document.activeElement.tagName === "INPUT") return;
    const focus = rows.contains(document.activeElement) ? document.activeElement.dataset.do : null;
    rows.replaceChildren(...(hits.length ? [make("table", {}, make("thead", {}, make("tr", {}, ...["", "from", "to", "score", ""].map((each) => make("th", { scope: "col" }, each)))), make("tbody", {}, ...hits.map((hit, i) => {
      const sure = now.confirmed.includes(hit), end = (key) => make("input", { type: "number", step: "any", min: 0, value: +hit[key].toFixed(2), "aria-label": `${key === "from" ? "Begins" : "Ends"}, number ${i + 1}`, onchange: (event) => { const value = Number(event.target.value); event.target.blur(); move(hit, { [key]: value }); paint(); } });
      const act = (text, call, pressed) => make("button", { "data-do": `${text.slice(0, 4)}${i}`, "aria-pressed": pressed, "aria-label": `${text} ${i + 1}`, onclick: () => { now.at = i; call(); } }, text);
      return make("tr", { className: i === now.at ? "current" : "" }, make("td", {}, act("play", () => show(i))), make("td", {}, end("from")), make("td", {}, end("to")), make("td", {}, hit.score === undefined ? "" : hit.score.toFixed(3)), make("td", {}, act(sure ? "confirmed" : "confirm", confirm, sure), " ", act("strike", strike)));
    })))] : []));
    if (focus) rows.querySelector(`[data-do="${focus}"]`)?.focus();
    rows.querySelector("tr.current")?.scrollIntoView({ block: "nearest" });
  }

  let drag = null;
  const place = (event) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top, r.width - GUTTER - 4]; };
  const second = (event) => { const [px, , w] = place(event), [a, b] = now.view; return Math.min(Math.max(a + ((px - GUTTER) / w) * (b - a), 0), all); };
  const end = (event) => {  // an end of the hit that is looked at
    const hit = shown()[now.at], [px, y, w] = place(event), [a, b] = now.view, x = (at) => GUTTER + ((at - a) / (b - a)) * w;
    if (!hit || y < WHOLE + 8 + 66) return null;
    return Math.abs(x(hit.from) - px) < NEAR ? [hit, "from"] : Math.abs(x(hit.to) - px) < NEAR ? [hit, "to"] : null;
  };
  const centre = (event) => { const [px, , w] = place(event), wide = now.view[1] - now.view[0]; look(((px - GUTTER) / w) * all - wide / 2, wide); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = place(event)[1] < WHOLE + 3 && now.view[1] - now.view[0] < all ? { pan: true } : { end: end(event), begin: second(event) };
    if (drag.pan) centre(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) { canvas.style.cursor = end(event) ? "ew-resize" : "crosshair"; return; }
    const here = second(event);
    if (drag.pan) centre(event);
    else if (drag.end) { drag.end[0] = move(drag.end[0], { [drag.end[1]]: here }); paint(); }
    else { now.part = [Math.min(drag.begin, here), Math.max(drag.begin, here)]; from.value = now.part[0].toFixed(2); to.value = now.part[1].toFixed(2); paint(); }
  });
  canvas.addEventListener("pointerup", (event) => { const here = second(event); if (drag && !drag.pan && !drag.end && Math.abs(here - drag.begin) < (now.view[1] - now.view[0]) / 500) open(now.row, { at: here }); drag = null; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.0015), second(event)); }, { passive: false });
  Object.assign(keys, { j: () => visit(1), k: () => visit(-1), "-": strike, Enter: confirm, "+": () => zoom(0.6), "0": () => look(0, all) });
  const wide = $("view").clientWidth > 500;
  box.replaceChildren(make("div", { className: "row" }, choice, make("button", { title: "Zoom in (+, wheel)", onclick: () => zoom(0.5) }, "zoom in"), make("button", { onclick: () => zoom(2) }, "zoom out")), canvas,
    make("div", { className: "row" }, "part", from, "to", to, unit(), make("button", { id: "findlike", onclick: find }, wide ? "Find more like this here" : "Find more like this")),
    make("div", { className: "row" }, make("label", { htmlFor: "least" }, "threshold"), least, make("button", { title: "K", onclick: () => visit(-1) }, "previous"), make("button", { title: "J", onclick: () => visit(1) }, "next"),
      make("button", { onclick: () => save("found.csv", csv([["file", "start", "end", "score", "confirmed"], ...shown().map((hit) => [name, hit.from, hit.to, hit.score, now.confirmed.includes(hit) ? "yes" : ""])])) }, "export CSV")), said, rows,
    make("p", { className: "note" }, "Windows of 2 s, one each half second. J and K go through what was found, Enter confirms one, − strikes it and searches again; ends of the one that is looked at can be dragged."));
  if (now.part) { from.value = now.part[0].toFixed(2); to.value = now.part[1].toFixed(2); }
  paint();
  new ResizeObserver(paint).observe(canvas);
  if (state.clip !== now.row) set({ clip: now.row });
}
