// The map: points, tools to choose some of them, the strip of poses over the one under the pointer.

import { ask, $, make } from "./wire.js";
import { state, set, on } from "./state.js";
import { theme, readTheme, rgb, palette } from "./colours.js";
import { Splatter, Grid } from "./splat.js";
import { Clip, draw, sized, view as camera } from "./player.js";

const PREFIX = 150000, NEAR = 10, REST = 60;
const data = { xy: null, row: null, codes: null, place: null, grid: null, count: 0, grey: null, extra: null };
const eye = { scale: 0.01, x: 0, y: 0, fitted: true, density: 1 };
const splatter = new Splatter();
let tool = "move", path = [], moving = 0, hoverTimer = 0, hovered = -1, columns = new Map(), stars = [], share = 1, frames = [];
export const map = { data, eye, frames };

export async function loadMap(kind, glide = false) {
  const head = await ask("map?kind=" + kind);
  const before = data.xy;
  data.row = head.row; data.count = head.row.length;
  data.place = new Int32Array(data.count);
  for (let i = 0; i < data.count; i++) data.place[data.row[i]] = i;
  const target = head.xy;
  if (glide && before && before.length === target.length && state.playing) {
    const from = before.slice(), begin = performance.now();
    await new Promise((done) => {
      const step = (now) => {
        const t = Math.min((now - begin) / 900, 1), ease = t * t * (3 - 2 * t), mixed = new Float32Array(target.length);
        for (let i = 0; i < target.length; i++) mixed[i] = from[i] + ease * (target[i] - from[i]);
        data.xy = mixed; paint();
        if (t < 1) requestAnimationFrame(step); else done();
      };
      requestAnimationFrame(step);
    });
  }
  data.xy = target;
  data.grid = new Grid(target, data.count);
  if (eye.fitted) fit();
  await names();
  paint();
}

export async function column(name) {
  if (!columns.has(name)) columns.set(name, (await ask("column/" + encodeURIComponent(name))).values);
  return columns.get(name);
}

export const about = (name) => (name === "taught" ? data.extra && data.extra.about : state.store.columns.find((each) => each.name === name));

export async function recolour() {
  if (state.colour === "taught" && !data.extra) state.colour = state.store.columns[0]?.name || "";
  const facts = about(state.colour);
  if (!facts) { data.codes = null; paint(); return; }
  const values = state.colour === "taught" ? data.extra.codes : await column(state.colour);
  if (facts.kind === "number") {
    const wide = facts.max - facts.min || 1;
    data.codes = Uint8Array.from(values, (v) => (Number.isNaN(v) ? 64 : Math.min(63, Math.floor(((v - facts.min) / wide) * 64))));
  } else {
    const last = facts.categories.length;
    data.codes = Uint16Array.from(values, (v) => Math.min(v, last));
  }
  await mask();
  await names();
  paint();
}

export async function mask() {  // which points are context only: filtered out, or not the category that is looked at
  const wanted = Object.entries(state.filter).filter(([, value]) => value !== "");
  const lists = await Promise.all(wanted.map(([name]) => column(name)));
  const grey = new Uint8Array(data.count);
  wanted.forEach(([name, value], k) => {
    const code = about(name).categories.indexOf(value);
    for (let i = 0; i < data.count; i++) if (lists[k][i] !== code) grey[i] = 1;
  });
  data.passed = 0;
  for (let i = 0; i < data.count; i++) if (!grey[i]) data.passed++;
  if (state.keep !== null && data.codes) for (let i = 0; i < data.count; i++) if (data.codes[i] !== state.keep) grey[i] = 1;
  if (state.selected.size) for (let i = 0; i < data.count; i++) if (!state.selected.has(data.row[i])) grey[i] = 1;
  data.grey = grey;
  data.unfiltered = wanted.length ? grey : null;
}

let labels = [];
async function names() {  // a name above where most of a class stand
  labels = [];
  const facts = about(state.colour);
  if (!facts || facts.kind !== "class" || !data.codes) return;
  for (let k = 0; k < Math.min(facts.categories.length, 24); k++) {
    const cells = new Map();
    for (let i = 0; i < data.count; i++) if (data.codes[i] === k) {
      const at = (data.xy[2 * i] >> 13) * 8 + (data.xy[2 * i + 1] >> 13);
      const sum = cells.get(at) || [0, 0, 65535];
      sum[0]++; sum[1] += data.xy[2 * i]; sum[2] = Math.min(sum[2], data.xy[2 * i + 1]);
      cells.set(at, sum);
    }
    const best = [...cells.values()].sort((a, b) => b[0] - a[0])[0];
    if (best) labels.push({ text: facts.categories[k], n: best[0], x: best[1] / best[0], y: best[2], code: k });
  }
  labels.sort((a, b) => b.n - a.n);
}

export function fit() {
  const box = $("mapbox"), w = box.clientWidth, h = box.clientHeight;
  if (!data.xy || !w) return;
  let x0 = 65535, y0 = 65535, x1 = 0, y1 = 0;
  for (let i = 0; i < data.count; i++) { x0 = Math.min(x0, data.xy[2 * i]); x1 = Math.max(x1, data.xy[2 * i]); y0 = Math.min(y0, data.xy[2 * i + 1]); y1 = Math.max(y1, data.xy[2 * i + 1]); }
  eye.scale = Math.min((w - 90) / Math.max(x1 - x0, 6000), (h - 130) / Math.max(y1 - y0, 6000));
  eye.x = w / 2 - ((x0 + x1) / 2) * eye.scale; eye.y = h / 2 - 10 - ((y0 + y1) / 2) * eye.scale; eye.fitted = true;
}

let due = false;
export function paint() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; paintNow(); });
}

function paintNow() {
  const canvas = $("map");
  if (!data.xy || !canvas.clientWidth) return;
  const begin = performance.now(), context = sized(canvas, moving ? 2.6e6 : 1.2e7);
  eye.density = canvas.width / canvas.clientWidth;
  const seen = { scale: eye.scale * eye.density, x: eye.x * eye.density, y: eye.y * eye.density };
  const count = moving ? Math.min(data.count, Math.max(2000, Math.round(PREFIX * share))) : data.count;
  const facts = about(state.colour) || { kind: "class", categories: ["all"] };
  splatter.draw(context, data.xy, data.codes, palette(facts, state.colour === "taught" ? facts.categories : null), data.grey, rgb(theme.grey), count, seen, rgb(theme.page), facts.kind === "class");
  overlay();
  const took = performance.now() - begin;
  frames.push(took); if (frames.length > 600) frames.shift();
  if (moving && took > 12) share = Math.max(share / 2, 0.01);
  status(count);
}

function status(count) {
  const shown = data.unfiltered ? data.passed : data.count, n = (each) => each.toLocaleString("en");
  const words = [`${n(shown)} shown of ${n(data.count)}`];
  if (state.selected.size) words.push(`${n(state.selected.size)} selected`);
  words.push(count < data.count ? `${Math.round((100 * count) / data.count)} % drawn while moving` : "all drawn");
  if (state.making) words.push("laying out a better map");
  $("status").textContent = shown ? words.join(" · ") : "No clips match. Clear the filters.";
}

export const where = (i) => [data.xy[2 * i] * eye.scale + eye.x, data.xy[2 * i + 1] * eye.scale + eye.y];

function overlay() {
  const canvas = $("over"), context = sized(canvas), d = canvas.width / canvas.clientWidth;
  context.setTransform(1, 0, 0, 1, 0, 0); context.clearRect(0, 0, canvas.width, canvas.height); context.setTransform(d, 0, 0, d, 0, 0);
  const ring = (i, size, colour, line = 2) => {
    if (i === undefined || i < 0) return;
    const [x, y] = where(i);
    context.lineWidth = line + 2; context.strokeStyle = theme.page; context.beginPath(); context.arc(x, y, size, 0, 7); context.stroke();
    context.lineWidth = line; context.strokeStyle = colour; context.beginPath(); context.arc(x, y, size, 0, 7); context.stroke();
  };
  let drawn = 0;
  for (const row of state.selected) { if (drawn++ > 2000) break; ring(data.place[row], 5, theme.accent, 1.5); }
  if (state.hits.length <= 60) for (const hit of state.hits) ring(data.place[hit.row], 6, theme.ink, 1.5);
  if (state.pin !== null) ring(data.place[state.pin], 9, theme.left, 3);
  if (state.clip !== null) ring(data.place[state.clip], 9, theme.accent, 3);
  if (hovered >= 0) ring(hovered, 7, theme.ink, 2);
  context.font = "600 13px system-ui, sans-serif"; context.textAlign = "center"; context.lineJoin = "round";
  const taken = [];
  for (const { text, x, y, code } of labels) {
    if (state.keep !== null && state.keep !== code) continue;
    const px = x * eye.scale + eye.x, py = y * eye.scale + eye.y - 8, shown = text.length > 26 ? text.slice(0, 25) + "…" : text, w = context.measureText(shown).width / 2 + 4;
    if (px < 0 || py < 12 || px > canvas.clientWidth || py > canvas.clientHeight || taken.some(([a, b, c]) => Math.abs(a - px) < w + c && Math.abs(b - py) < 18)) continue;
    taken.push([px, py, w]);
    context.lineWidth = 4; context.strokeStyle = theme.page; context.strokeText(shown, px, py); context.fillStyle = theme.ink; context.fillText(shown, px, py);
  }
  for (const { xy, name } of stars) {
    const x = xy[0] * eye.scale + eye.x, y = xy[1] * eye.scale + eye.y;
    context.beginPath();
    for (let k = 0; k < 10; k++) { const r = k % 2 ? 6 : 14, a = (k * Math.PI) / 5 - Math.PI / 2; context.lineTo(x + r * Math.cos(a), y + r * Math.sin(a)); }
    context.closePath(); context.fillStyle = theme.star; context.strokeStyle = theme.page; context.lineWidth = 2; context.stroke(); context.fill();
    context.lineWidth = 4; context.strokeText(name, x, y - 19); context.fillStyle = theme.ink; context.fillText(name, x, y - 19);
  }
  if (path.length > 1) {
    context.beginPath(); path.forEach(([x, y]) => context.lineTo(x, y)); if (tool !== "polygon") context.closePath();
    context.lineWidth = 2; context.strokeStyle = theme.accent; context.stroke(); context.globalAlpha = 0.1; context.fillStyle = theme.accent; context.fill(); context.globalAlpha = 1;
  }
}

export function setStars(found) { stars = found; paint(); }

// ---------------------------------------------------------------------------------------------------------- tools

const TOOLS = [["move", "✥ move"], ["box", "⬚ box"], ["lasso", "◌ lasso"], ["polygon", "⊹ polygon"]];

export function zoom(factor, x = $("mapbox").clientWidth / 2, y = $("mapbox").clientHeight / 2) {
  const to = Math.min(Math.max(eye.scale * factor, 0.0008), 4) / eye.scale;
  eye.x = x - (x - eye.x) * to; eye.y = y - (y - eye.y) * to; eye.scale *= to; eye.fitted = false;
  stir();
}

let rest = 0;
function stir() {  // what moves is drawn in part, all of it a little after the hand stops
  moving = 1; paint(); clearTimeout(rest);
  rest = setTimeout(() => { moving = 0; paint(); }, 120);
}

export function setTool(name) {
  tool = name; path = []; unhover();
  for (const button of $("tools").querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === name);
  $("map").style.cursor = name === "move" ? "grab" : "crosshair"; paint();
}

export async function choose(polygon, how) {  // the rows within a polygon of places on the screen
  const xs = polygon.map((p) => (p[0] - eye.x) / eye.scale), ys = polygon.map((p) => (p[1] - eye.y) / eye.scale);
  const found = new Set(how === "new" ? [] : state.selected);
  data.grid.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (i) => {
    if (data.unfiltered && data.unfiltered[i] && !state.selected.size) return;
    const x = data.xy[2 * i], y = data.xy[2 * i + 1];
    let inside = false;
    for (let a = 0, b = xs.length - 1; a < xs.length; b = a++)
      if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) inside = !inside;
    if (inside) how === "less" ? found.delete(data.row[i]) : found.add(data.row[i]);
  });
  set({ selected: found, tab: found.size && state.tab !== "teach" ? "selected" : state.tab });
}

function thinned(points, most = 64) {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, i) => points[Math.floor((i * points.length) / most)]);
}

function under(x, y, reach = NEAR) {
  if (!data.grid) return -1;
  return data.grid.nearest((x - eye.x) / eye.scale, (y - eye.y) / eye.scale, reach / eye.scale, state.selected.size ? null : (i) => !data.unfiltered || !data.unfiltered[i]);
}

function unhover() { clearTimeout(hoverTimer); $("strip").hidden = true; if (hovered >= 0) { hovered = -1; paint(); } }

const strips = new Map();
async function hover(i) {
  hovered = i; overlay();
  const row = data.row[i];
  if (!strips.has(row)) {
    const wanted = [row];  // and some neighbours, which are likely to be next
    data.grid.within(data.xy[2 * i] - 900, data.xy[2 * i + 1] - 900, data.xy[2 * i] + 900, data.xy[2 * i + 1] + 900, (j) => { if (wanted.length < 16 && !strips.has(data.row[j]) && data.row[j] !== row) wanted.push(data.row[j]); });
    const head = await ask("strips?rows=" + wanted.join(","));
    wanted.forEach((each, n) => strips.set(each, [new Clip(head, n, state.store.layout.limbs), head.about[n]]));
  }
  if (hovered !== i) return;
  const [clip, facts] = strips.get(row), box = $("strip"), [x, y] = where(i);
  box.hidden = false;
  $("stripname").textContent = [facts.name, facts.label, facts.subject && "subject " + facts.subject, facts.seconds && facts.seconds.toFixed(1) + " s"].filter(Boolean).join(" · ");
  poses($("stripcanvas"), clip);
  const w = box.offsetWidth, h = box.offsetHeight, stage = $("mapbox");
  box.style.left = Math.min(Math.max(6, x - w / 2), stage.clientWidth - w - 6) + "px";
  box.style.top = (y - h - 16 < 4 ? y + 18 : y - h - 16) + "px";
}

export function poses(canvas, clip) {
  const context = sized(canvas), seen = camera();
  context.clearRect(0, 0, canvas.width, canvas.height);
  const wide = canvas.width / 8;
  for (let k = 0; k < 8; k++) {
    seen.x = (k - 3.5) * wide;
    draw(canvas, clip, (clip.length * k) / 7, seen, { clear: false, floor: false });
  }
}

export function wire(open) {
  const canvas = $("map"), bar = $("tools");
  for (const [name, text] of TOOLS) bar.append(make("button", { "data-tool": name, onclick: () => setTool(name) }, text));
  bar.append(make("button", { title: "Show all (0)", onclick: () => { fit(); paint(); } }, "fit"), make("button", { "aria-label": "Zoom in", onclick: () => zoom(1.5) }, "+"), make("button", { "aria-label": "Zoom out", onclick: () => zoom(1 / 1.5) }, "−"));
  setTool("move");
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const fingers = new Map();
  let from = null, dragged = false, pinch = 0, held = 0, shown = -1;  // shown: whose poses the tap before brought
  const how = (event) => (event.altKey ? "less" : event.shiftKey ? "more" : "new");
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId); canvas.focus({ preventScroll: true });
    fingers.set(event.pointerId, at(event)); shown = hovered; unhover();
    if (fingers.size === 2) { const [a, b] = [...fingers.values()]; pinch = Math.hypot(a[0] - b[0], a[1] - b[1]); path = []; return; }
    from = at(event); dragged = false;
    if (event.pointerType === "touch") { clearTimeout(held); held = setTimeout(() => { if (!dragged) setTool("polygon"); }, 600); }
    if (tool === "lasso" || tool === "box" || (tool === "move" && event.shiftKey)) path = [from];
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (fingers.has(event.pointerId)) {
      const before = fingers.get(event.pointerId);
      fingers.set(event.pointerId, here);
      if (fingers.size === 2) { const [a, b] = [...fingers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]); if (pinch) zoom(now / pinch, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2); pinch = now; dragged = true; return; }
      if (from && Math.hypot(here[0] - from[0], here[1] - from[1]) > 4) { dragged = true; clearTimeout(held); }
      if (!dragged) return;
      if (path.length) { path = tool === "lasso" ? [...path, here] : [from, [here[0], from[1]], here, [from[0], here[1]]]; overlay(); }
      else if (tool !== "polygon" && from) { eye.x += here[0] - before[0]; eye.y += here[1] - before[1]; eye.fitted = false; stir(); }
      return;
    }
    if (tool !== "move" || event.pointerType === "touch") return;
    clearTimeout(hoverTimer);
    const i = under(...here);
    if (i < 0) return unhover();
    if (i !== hovered) hoverTimer = setTimeout(() => hover(i).catch(() => {}), REST);
  });
  const release = (event) => {
    clearTimeout(held);
    if (!fingers.delete(event.pointerId)) return;
    if (path.length > 2 && tool !== "polygon") { const found = thinned(path); path = []; choose(found, how(event)); paint(); }
    else if (!dragged && from && event.type === "pointerup") {
      if (tool === "polygon") { path.push(from); overlay(); }
      else {
        path = [];
        const i = under(...from, event.pointerType === "touch" ? 24 : NEAR);
        if (i >= 0 && event.shiftKey) { const more = new Set(state.selected); more.has(data.row[i]) ? more.delete(data.row[i]) : more.add(data.row[i]); set({ selected: more }); }
        else if (i >= 0 && event.pointerType === "touch" && shown !== i) hover(i).catch(() => {});
        else if (i >= 0) { unhover(); open(data.row[i]); }
        else if (state.selected.size) set({ selected: new Set() });
      }
    }
    if (!fingers.size) { from = null; pinch = 0; }
  };
  canvas.addEventListener("pointerup", release); canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", (event) => { if (!fingers.size && event.pointerType !== "touch") unhover(); });  // a finger leaves after each tap
  canvas.addEventListener("dblclick", (event) => { if (tool === "polygon") closePolygon(how(event)); else zoom(2, ...at(event)); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); unhover(); zoom(Math.exp(-event.deltaY * 0.0015), ...at(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) { step(...steps[event.key]); event.preventDefault(); }
    else if (event.key === "Enter" && path.length > 2) closePolygon("new");
    else if (event.key === "Enter" && hovered >= 0) { const row = data.row[hovered]; unhover(); open(row); }
    else if (event.key.toLowerCase() === "s" && hovered >= 0) { const more = new Set(state.selected), row = data.row[hovered]; more.has(row) ? more.delete(row) : more.add(row); set({ selected: more }); }
    else if (event.key === "0") { fit(); paint(); }
    else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.4 : 1 / 1.4);
    else if (event.key === "Escape") { if (path.length) { path = []; paint(); } else set({ selected: new Set() }); unhover(); }
    else return;
    event.stopPropagation();
  });
  new ResizeObserver(() => { if (eye.fitted) fit(); paint(); }).observe($("mapbox"));
  on("selected keep filter", async () => { await mask(); paint(); });
  on("clip hits pin making", paint);
}

function closePolygon(how) { const found = path; path = []; if (found.length > 2) choose(found, how); setTool("move"); }

function step(dx, dy) {  // the nearest point in a direction
  let at = hovered >= 0 ? hovered : state.clip !== null ? data.place[state.clip] : -1;
  if (at < 0) { at = under($("mapbox").clientWidth / 2, $("mapbox").clientHeight / 2, 4000); if (at >= 0) hover(at); return; }
  let best = Infinity, found = -1;
  for (let i = 0; i < data.count; i++) {
    if (data.unfiltered && data.unfiltered[i]) continue;
    const x = data.xy[2 * i] - data.xy[2 * at], y = data.xy[2 * i + 1] - data.xy[2 * at + 1], along = x * dx + y * dy, across = Math.abs(x * dy) + Math.abs(y * dx);
    if (along <= 0 || across > along) continue;
    const far = along + 2 * across;
    if (far < best) { best = far; found = i; }
  }
  if (found >= 0) hover(found).catch(() => {});
}

export function retheme() { readTheme(); paint(); }
