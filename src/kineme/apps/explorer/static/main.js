// The page as a whole: what is open, the player, keys, files that are dropped.

import { ask, takeToken, $, make, refill, seconds } from "./wire.js";
import { state, set, on, fromAddress } from "./state.js";
import { readTheme, theme } from "./colours.js";
import * as maps from "./map.js";
import { Clip, clip as fetchClip, clock, draw, PAUSE, sized, startClock, still, view } from "./player.js";
import { panels, legend, filters, search, listed, clear } from "./panels.js";
import { VIEWS } from "./views.js";
import { TEACH, teach } from "./teach.js";

const TABS = [["neighbours", "Neighbours"], ["teach", "Teach"], ["selected", "Selected"]];
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const stage = { clip: null, pin: null, seen: view(), time: 0, loop: null, way: null, rest: 0, gap: null };
panels.teach = TEACH;

function problem(text, again) {
  const box = $("problem");
  box.hidden = !text;
  box.replaceChildren(text || "", ...(text ? [again ? make("button", { onclick: again }, "Try again") : null, make("button", { onclick: () => problem("") }, "Dismiss")].filter(Boolean) : []));
}
const guard = (call) => (...words) => Promise.resolve(call(...words)).catch((error) => { if (error.name !== "AbortError") problem(error.message); });

// ------------------------------------------------------------------------------------------------------- opening

const open = guard(async (row, { at = 0, push = true } = {}) => {
  set({ clip: row, upload: null, person: null, from: null, to: null, plus: [], minus: [], where: {} }, push);
  stage.time = at; stage.loop = null;
  if (innerWidth < 800) part("player");
});
export { open };

on("clip upload", guard(async () => {
  const { clip: row, upload } = state;
  $("remove").hidden = !upload;
  if (row === null && !upload) { stage.clip = null; $("clipname").textContent = "Click a dot, or drop a file."; return; }
  let found;
  if (upload) {
    const head = await ask("uploads/" + upload.upload);
    found = new Clip(head, 0, head.limbs);
    found.about = { name: upload.name, seconds: upload.fps ? upload.frames / upload.fps : null };
  } else found = await fetchClip(row);
  if (state.clip !== row || state.upload !== upload) return;
  stage.clip = found; stage.way = null;
  set({ about: found.about });
  const facts = found.about;
  $("clipname").textContent = [facts.name, facts.label, seconds(facts.seconds)].filter(Boolean).join("  ·  ");
  $("time").max = found.length; stage.time = Math.min(stage.time, found.length);
  people(); interval(); stage.drawn = null;
  $("ready").textContent = found.frames && !someone(found) ? `No visible joints in frames 0 to ${found.frames}.` : upload ? upload.note : "";
  if (state.instep) align();
}));

const someone = (clip) => clip.local.some((each) => !Number.isNaN(each));

on("pin", guard(async () => {
  stage.pin = state.pin === null ? null : await fetchClip(state.pin);
  $("pinbox").hidden = !stage.pin || state.overlay;
  $("pinname").textContent = stage.pin ? "reference: " + stage.pin.about.name : "";
  stage.way = null; keysBar();
  if (state.instep) align();
}));
on("instep overlay", guard(async () => { $("pinbox").hidden = !stage.pin || state.overlay; if (state.instep && !stage.way) await align(); if (!state.instep) { stage.way = null; $("path").hidden = true; } keysBar(); }));

async function align() {
  if (state.pin === null || !stage.clip || (state.clip === null && !state.upload)) return;
  const pinned = state.pin, now = state.upload ? null : state.clip;
  const answer = state.upload ? await ask(`align/upload?a=${pinned}&upload=${state.upload.upload}`) : await ask(`align?a=${pinned}&b=${now}`);
  if (state.pin !== pinned) return;
  stage.way = answer.frame; stage.cost = answer.cost;
  $("path").hidden = false;
  path();
}

function path() {  // where time bends between the two that play in step
  if (!stage.way) return;
  const canvas = $("path"), context = sized(canvas), n = stage.way.length, most = Math.max(...stage.way, 1);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = theme.accent; context.lineWidth = 2; context.beginPath();
  stage.way.forEach((f, i) => context.lineTo((i / Math.max(n - 1, 1)) * canvas.width, canvas.height - 3 - (f / most) * (canvas.height - 6)));
  context.stroke();
}

// -------------------------------------------------------------------------------------------------------- player

function frame(step) {
  const { clip, pin } = stage;
  if (!clip) return;
  const led = pin && state.instep && stage.way;  // the pinned clip leads
  const [begin, end] = led ? [0, pin.length] : stage.loop || [0, clip.length];
  if (state.playing && !stage.dragging) {
    stage.time += step;
    if (stage.time > end) { stage.rest += step; stage.time = end; if (stage.rest > PAUSE * state.speed) { stage.time = begin; stage.rest = 0; } }
    if (stage.time < begin) stage.time = begin;
  }
  const key = [stage.time, state.clip, state.upload, theme.ink, stage.seen.changed, state.overlay, state.pin, stage.way && 1, innerWidth].join();
  if (key === stage.drawn) return;
  stage.drawn = key;
  let time = stage.time;
  if (led) { const i = Math.min(Math.round((stage.time / pin.length) * (stage.way.length - 1)), stage.way.length - 1); time = (stage.way[i] / Math.max(clip.total - 1, 1)) * clip.length; }
  const canvas = $("player");
  if (pin && state.overlay) draw(canvas, pin, stage.time, stage.seen, { alpha: 0.4 });
  const now = draw(canvas, clip, time, stage.seen, { chosen: state.person, marked: stage.gap, clear: !(pin && state.overlay), floor: !(pin && state.overlay) });
  if (pin) {
    if (!state.overlay) draw($("pinned"), pin, stage.time, stage.seen);
    gap(pin, clip, stage.time, time);
  } else stage.gap = null;
  const box = $("time");
  box.max = led ? pin.length : clip.length; box.value = stage.time;
  const number = Math.round(clip.at(time) / Math.max(clip.frames - 1, 1) * (clip.total - 1));
  box.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds, frame ${number}`);
  $("clock").textContent = `${number} · ${time.toFixed(2)} s`;
  canvas.setAttribute("aria-label", `${clip.about.name}, ${clip.length.toFixed(1)} seconds, ${clip.people} ${clip.people === 1 ? "person" : "people"}, ${state.playing ? "playing" : "paused"}`);
  return now;
}

function gap(a, b, at, to) {  // the joint that is farthest apart, both seen from their own middle and size
  if (a.v !== b.v) { stage.gap = null; return; }
  const f = Math.round(a.at(at)) * a.m * a.v * a.c, g = Math.round(b.at(to)) * b.m * b.v * b.c;
  const turn = (clip, x, z) => [x * Math.cos(clip.yaw) + z * Math.sin(clip.yaw), -x * Math.sin(clip.yaw) + z * Math.cos(clip.yaw)];
  let best = 0;
  stage.gap = null;
  for (let v = 0; v < a.v; v++) {
    const p = a.local.subarray(f + v * a.c, f + v * a.c + a.c), q = b.local.subarray(g + v * b.c, g + v * b.c + b.c);
    if (Number.isNaN(p[0]) || Number.isNaN(q[0])) continue;
    const [px, pz] = turn(a, p[0], p[2] || 0), [qx, qz] = turn(b, q[0], q[2] || 0);
    const far = Math.hypot(px / a.height - qx / b.height, p[1] / a.height - q[1] / b.height, pz / a.height - qz / b.height);
    if (far > best) { best = far; stage.gap = v; }
  }
  if (best < 0.02) stage.gap = null;
  $("ready").textContent = stage.gap === null ? "" : `${state.store.layout.joints[stage.gap]} apart by ${(100 * best).toFixed(0)} % of the body's height`;
}

function touched() { stage.seen.changed = (stage.seen.changed || 0) + 1; }

const solid = () => state.store.coords === 3;  // what lies in an image is seen from one side alone
const KEYS = [
  ["‹", "One frame back (,)", () => nudge(-1)], ["›", "One frame on (.)", () => nudge(1)],
  ["speed"],
  ["pin", "Pin as reference (P)", () => set({ pin: state.pin === null ? state.clip : null, instep: false, overlay: false }), () => state.pin !== null],
  ["in step", "Play in step with the reference (I)", () => set({ instep: !state.instep }), () => state.instep, () => state.pin !== null],
  ["overlay", "Lay one on the other (O)", () => set({ overlay: !state.overlay }), () => state.overlay, () => state.pin !== null],
  ["mirror", "Mirror (M)", () => flip("mirror"), () => stage.seen.mirror], ["reverse", "Backwards (T)", () => flip("reverse"), () => stage.seen.reverse],
  ["ghosts", "Earlier poses (G)", () => flip("ghosts"), () => stage.seen.ghosts], ["follow", "Follow or fixed (C)", () => flip("follow"), () => stage.seen.follow],
  ["front", "Seen from the front (F)", () => turn(0), null, solid], ["back", "From behind (B)", () => turn(Math.PI), null, solid], ["right side", "From the right (R)", () => turn(Math.PI / 2), null, solid], ["above", "From above (U)", () => turn(stage.seen.yaw, 1.48), null, solid],
  ["[", "Interval begins here", () => mark(0)], ["]", "Interval ends here", () => mark(1)],
];

function keysBar() {
  refill($("playerkeys"), ...KEYS.filter((each) => !each[4] || each[4]()).map(([text, title, call, pressed]) => text === "speed"
    ? make("select", { "aria-label": "Speed", onchange: (event) => set({ speed: Number(event.target.value) }) }, ...SPEEDS.map((each) => make("option", { value: each, selected: each === state.speed }, each + "×")))
    : make("button", { title, "aria-pressed": pressed ? String(Boolean(pressed())) : null, onclick: () => { call(); touched(); keysBar(); } }, text)));
  $("play").textContent = state.playing ? "Pause" : "Play";
}
function flip(key) { stage.seen[key] = !stage.seen[key]; touched(); }
function turn(yaw, pitch = 0.12) { Object.assign(stage.seen, { yaw, pitch, x: 0, y: 0 }); touched(); }
function nudge(step) { set({ playing: false }); stage.time = Math.min(Math.max(stage.time + (step * stage.clip?.length) / Math.max((stage.clip?.total || 2) - 1, 1), 0), stage.clip?.length || 0); }
function mark(which) {
  if (!stage.clip) return;
  const [a, b] = stage.loop || [0, stage.clip.length];
  stage.loop = which ? [Math.min(a, stage.time - 0.02), stage.time] : [stage.time, Math.max(b, stage.time + 0.02)];
  stage.loop = [Math.max(0, stage.loop[0]), Math.min(stage.clip.length, stage.loop[1])];
  if (stage.loop[0] <= 0 && stage.loop[1] >= stage.clip.length) stage.loop = null;
  interval();
}
function interval() {
  const box = $("interval"), { loop } = stage;
  box.hidden = !loop && state.from === null;
  box.replaceChildren();
  if (loop) box.append(make("button", { onclick: () => set({ from: +loop[0].toFixed(3), to: +loop[1].toFixed(3), tab: "neighbours" }) }, `Search with ${loop[0].toFixed(1)} to ${loop[1].toFixed(1)} s`));
  if (loop || state.from !== null) box.append(make("button", { title: "Loop off (L)", onclick: () => { stage.loop = null; set({ from: null, to: null }); interval(); } }, "whole clip"));
}
function people() {
  const n = stage.clip ? stage.clip.people : 0;
  refill($("people"), ...(n < 2 ? [] : [..."ABCD"].slice(0, n).map((text, i) => make("button", { title: "Search with this person (Q)", "aria-pressed": state.person === i, onclick: () => { set({ person: state.person === i ? null : i }); people(); touched(); } }, text))));
}

function wirePlayer() {
  const canvas = $("player");
  let from = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY, event.button === 2 || event.shiftKey]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const dx = event.clientX - from[0], dy = event.clientY - from[1], density = canvas.width / canvas.clientWidth;
    if (from[2] || stage.clip?.coords === 2) { stage.seen.x += dx * density; stage.seen.y += dy * density; }
    else { stage.seen.yaw -= dx * 0.01; stage.seen.pitch = Math.min(Math.max(stage.seen.pitch + dy * 0.008, -0.17), 1.48); }
    from[0] = event.clientX; from[1] = event.clientY; touched();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { from = null; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); stage.seen.zoom = Math.min(Math.max(stage.seen.zoom * Math.exp(-event.deltaY * 0.0012), 0.3), 6); touched(); }, { passive: false });
  canvas.addEventListener("dblclick", () => { turn(0); stage.seen.zoom = 1; touched(); });
  const time = $("time");
  time.addEventListener("input", () => { stage.time = Number(time.value); stage.rest = 0; });
  time.addEventListener("pointerdown", () => { stage.dragging = true; });
  for (const name of ["pointerup", "change", "blur"]) time.addEventListener(name, () => { stage.dragging = false; });
  time.addEventListener("wheel", (event) => { event.preventDefault(); nudge(Math.sign(event.deltaY)); }, { passive: false });
  $("play").onclick = () => set({ playing: !state.playing });
  on("playing speed", keysBar);
  clock.calls.add((step) => { if (!document.hidden) frame(step); });
}

// --------------------------------------------------------------------------------------------------------- files

const upload = guard(async (file) => {
  problem(""); $("clipname").textContent = `Reading ${file.name} (${(file.size / 1e6).toFixed(1)} MB)`;
  try {
    if (file.size > 64 << 20) throw new Error(`${file.name}: more than 64 MB. Cut it into parts, or prepare it with kineme prepare. Nothing was stored.`);
    const found = await ask("uploads?name=" + encodeURIComponent(file.name), { method: "POST", body: file });
    const { found: has, of, missing } = found.joints;
    found.note = `${found.frames} frames${found.fps ? ", " + found.fps + " fps" : ""}, ${has} of ${of} joints found${missing.length ? ". Missing: " + missing.slice(0, 6).join(", ") : ""}`;
    maps.setStars([{ xy: found.xy[state.map] || Object.values(found.xy)[0], name: found.name }]); stage.places = found.xy;
    set({ upload: found, clip: null, person: null, from: null, to: null, plus: [], minus: [], where: {}, tab: "neighbours" }, true);
    stage.time = 0; stage.loop = null;
    if (innerWidth < 800) part("player");
  } catch (error) {
    $("clipname").textContent = stage.clip ? stage.clip.about.name : "Click a dot, or drop a file.";
    throw error;
  }
});

function wireFiles() {
  let depth = 0;
  addEventListener("dragenter", (event) => { event.preventDefault(); depth++; $("drop").hidden = false; });
  addEventListener("dragleave", () => { if (--depth <= 0) { depth = 0; $("drop").hidden = true; } });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); depth = 0; $("drop").hidden = true; const { files } = event.dataTransfer; if (files[0]) upload(files[0]).then(() => { if (files.length > 1) problem(`${files.length} files were dropped; ${files[0].name} is shown. A folder of files is searched with kineme search.`); }); });
  $("file").addEventListener("change", () => { if ($("file").files[0]) upload($("file").files[0]); $("file").value = ""; });
  $("store").after(make("button", { id: "openfile", onclick: () => $("file").click() }, "Open a file"));
  $("remove").onclick = guard(async () => { await ask("uploads/" + state.upload.upload, { method: "DELETE" }); maps.setStars([]); set({ upload: null, hits: [], answer: null }); });
}

// ---------------------------------------------------------------------------------------------------------- keys

const HELP = [["wheel, + −, 0", "zoom, show all"], ["drag; Shift drag", "move the map; choose a box (Shift adds, Alt takes away)"], ["click; double click", "play a clip; zoom there"], ["arrows, Enter, S", "on the map: next dot that way, play it, choose it"], ["J K", "next, previous neighbour"], ["Space , . < >", "play, one frame, slower and faster"], ["[ ] L", "interval begins, ends, off"], ["F B R U C", "front, back, right, up, follow"], ["P I O M T G Q", "pin, in step, overlay, mirror, backwards, earlier poses, next person"], ["1 to 9", "label the clip or what is selected"], ["X Backspace", "skip, take the label away"], ["Ctrl Z, Ctrl Shift Z", "undo and redo a label"], ["/", "find by name"]];
let letters = localStorage.getItem("kineme-letters") !== "off";

function help() {
  const box = $("keys"), tick = make("input", { type: "checkbox", checked: letters, id: "letters", onchange: () => { letters = tick.checked; localStorage.setItem("kineme-letters", letters ? "on" : "off"); } });
  box.replaceChildren(make("h2", {}, "Keys and mouse"), make("table", {}, make("tbody", {}, ...HELP.map(([a, b]) => make("tr", {}, make("th", { scope: "row" }, a), make("td", {}, b))))), make("p", {}, tick, make("label", { htmlFor: "letters" }, " letters and digits act")), make("button", { onclick: () => box.close() }, "Close"));
  box.showModal();
}

function wireKeys() {
  const calls = { " ": () => set({ playing: !state.playing }), ",": () => nudge(-1), ".": () => nudge(1), "<": () => faster(-1), ">": () => faster(1), "[": () => mark(0), "]": () => mark(1),
    l: () => { stage.loop = null; set({ from: null, to: null }); interval(); }, j: () => walk(1), k: () => walk(-1), f: () => turn(0), b: () => turn(Math.PI), r: () => turn(Math.PI / 2), u: () => turn(stage.seen.yaw, 1.48), c: () => flip("follow"),
    p: () => set({ pin: state.pin === null ? state.clip : null, instep: false, overlay: false }), i: () => state.pin !== null && set({ instep: !state.instep }), o: () => state.pin !== null && set({ overlay: !state.overlay }),
    m: () => flip("mirror"), t: () => flip("reverse"), g: () => flip("ghosts"), q: () => { const n = stage.clip?.people || 0; if (n > 1) { set({ person: state.person === null ? 0 : state.person + 1 < n ? state.person + 1 : null }); people(); } },
    "/": () => $("find").focus(), "?": help, "0": () => { maps.fit(); maps.paint(); }, "+": () => maps.zoom(1.4), "-": () => maps.zoom(1 / 1.4), x: () => teach.skip(), Backspace: () => teach.label(null), Escape: () => set({ selected: new Set() }) };
  addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !(event.target.type === "range" && event.key === " ")) { if (event.key === "Escape") event.target.blur(); return; }
    if (document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); event.shiftKey ? teach.redo() : teach.undo(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.tagName === "BUTTON" && event.target.id !== "play") return;
    if (!letters && /^[a-z0-9]$/i.test(event.key)) return;
    if (/^[1-9]$/.test(event.key)) { teach.key(Number(event.key) - 1); return; }
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key, own = VIEWS[state.view]?.keys?.[name];
    if (own && !(name === "Enter" && event.target.tagName === "BUTTON")) { event.preventDefault(); own(); return; }
    const call = calls[name];
    if (call) { event.preventDefault(); call(); touched(); keysBar(); }
  });
}
function faster(step) { set({ speed: SPEEDS[Math.min(Math.max(SPEEDS.indexOf(state.speed) + step, 0), SPEEDS.length - 1)] }); }
function walk(step) {  // through the neighbours of what was asked first, which stay in their list
  const trail = stage.trail && stage.trail.includes(state.clip) ? stage.trail : [state.clip, ...state.hits.map((hit) => hit.row)];
  stage.trail = trail;
  const at = trail.indexOf(state.clip), to = trail[Math.min(Math.max(at + step, 0), trail.length - 1)];
  if (to !== null && to !== state.clip) open(to);
}

// --------------------------------------------------------------------------------------------------------- frame

let fill = 0;
async function panel() {
  const mine = ++fill;
  for (const tab of $("tabs").children) tab.setAttribute("aria-selected", tab.dataset.tab === state.tab);
  if (panels[state.tab]) await panels[state.tab]($("panel"), open);
  if (mine !== fill) return;
}
const repanel = guard(panel);

function views() {
  refill($("views"), ...Object.entries(VIEWS).filter(([, each]) => each.there()).map(([name, each]) => make("button", { role: "tab", "aria-selected": state.view === name, onclick: () => set({ view: name }, true) }, each.title)));
  const other = VIEWS[state.view] && VIEWS[state.view].show;
  $("mapbox").hidden = Boolean(other); $("view").hidden = !other;
  const box = make("div");  // of its own: what comes late for another view is not shown
  $("view").replaceChildren(box);
  if (other) guard(other)(box, open);
  document.body.dataset.view = state.view;
  if ($("phonenav").firstChild) $("phonenav").firstChild.textContent = VIEWS[state.view]?.title || "Map";
  if (innerWidth < 800) part("map");
}

function part(name) {  // on a phone one part of the page at a time
  document.body.dataset.part = name;
  for (const button of $("phonenav").children) button.setAttribute("aria-pressed", button.dataset.part === name);
}

function phone() {
  const parts = [["map", "Map"], ["list", "List"], ["player", "Player"], ["colour", "Colour"], ["teach", "Teach"]];
  $("phonenav").replaceChildren(...parts.map(([name, text]) => make("button", { "data-part": name, onclick: () => { if (name === "teach") set({ tab: "teach" }); part(name === "teach" ? "player" : name); $("list").hidden = name !== "list"; if (name === "list") guard(listed)(open); maps.paint(); } }, text)));
  $("back").onclick = () => { part("map"); maps.paint(); };
  part("map");
}

function wireTheme() {
  const dress = () => { maps.retheme(); legend(); touched(); repanel(); path(); set({ theme: theme.dark }); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  $("theme").onclick = () => { document.documentElement.dataset.theme = theme.dark ? "light" : "dark"; dress(); };
}

async function opened() {  // the server answers before its clips are prepared, and says how far it is
  const box = $("opening"), doing = { load: "Opening", prepare: "Preparing", embed: "Embedding", "embed windows": "Embedding windows of" };
  for (;;) {
    const store = await ask("store");
    if (!store.opening) { box.hidden = true; return store; }
    const { what, done, total, error } = store.opening;
    box.hidden = false;
    if (error) { box.hidden = true; throw new Error(error); }
    $("store").textContent = store.name;
    box.replaceChildren(make("p", { role: "status" }, `${doing[what] || what} ${store.name}${total ? `: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : ""}`),
      make("progress", { "aria-label": "How much is ready", max: total || 1, ...(total ? { value: done } : {}) }));
    await new Promise((done) => setTimeout(done, 300));
  }
}

async function begin() {
  takeToken(); readTheme();
  if (still.matches) state.playing = false;
  const store = await opened(), from = fromAddress();
  document.title = `${store.name} · Kineme`;
  $("store").textContent = `${store.name} (${store.clips.toLocaleString("en")} clips, encoder ${store.runs[0].name})`;
  Object.assign(state, { store, colour: store.columns[0]?.name || "", map: store.map.kinds[0], making: store.map.state === "making" }, Object.fromEntries(Object.entries(from).filter(([key, value]) => value !== null && (key !== "map" || store.map.kinds.includes(value)) && !((key === "clip" || key === "pin") && value >= store.clips))));
  performance.mark("store");
  maps.wire(open); wirePlayer(); wireFiles(); wireKeys(); wireTheme(); phone(); views();
  for (const [name, text] of TABS) $("tabs").append(make("button", { role: "tab", "data-tab": name, onclick: () => set({ tab: name }) }, text));
  $("colour").onchange = () => set({ colour: $("colour").value, keep: null, kept: null });
  $("help").onclick = help;
  $("find").addEventListener("input", guard(async () => { const text = $("find").value.trim(); if (!text) return repanel(); const answer = await ask("find?text=" + encodeURIComponent(text)); clear(); $("panel").replaceChildren(make("p", { className: "note" }, `${answer.total} named like this`), tableOf(answer.rows)); if (innerWidth < 800) part("player"); }));
  $("mapinfo").onclick = guard(async () => { const answer = await ask("map/kept?kind=" + state.map); problem(`${state.map === "pca" ? "Principal axes" : "t-SNE"}: of each clip's 10 nearest by vector, ${Math.round(100 * answer.kept_neighbours)} % are among its 10 nearest on this map.`); });
  document.querySelector(".skip").onclick = () => { $("list").hidden = false; guard(listed)(open); };
  on("hits answer failed tab about", repanel); on("selected", () => { if (state.tab !== "teach") repanel(); });
  on("tab", () => { if (state.tab !== "neighbours") clear(); });
  on("view", views); on("colour tint", async () => { await maps.recolour(); legend(); }); on("from", interval);
  on("problem", () => problem(state.problem));
  addEventListener("popstate", () => { const found = fromAddress(); set({ ...found, upload: null }); });
  await maps.loadMap(state.map); await maps.recolour(); performance.mark("map");
  legend(); filters(); keysBar(); startClock(); repanel();
  const first = from.clip ?? null;
  if (first !== null) { state.clip = null; set({ clip: first }); if (from.from !== null) search(); } else if (store.clips) { set({ clip: middle() }); }
  if (from.pin !== null && from.pin !== undefined) { state.pin = null; set({ pin: from.pin }); }
  if (state.making) later();
  performance.mark("ready");
}

function middle() {  // a clip of the largest class, where most of it stand
  const { data } = maps.map;
  let best = 0;
  for (let i = 0; i < data.count; i++) if (!data.codes || data.codes[i] === 0) { best = i; break; }
  return data.row[best];
}

function tableOf(rows) { return make("div", {}, ...rows.map((row) => make("p", {}, make("button", { onclick: () => open(row.row) }, row.name), ` ${row.label || ""} ${seconds(row.seconds)}`))); }

async function later() {  // the better map, when it is there
  for (;;) {
    await new Promise((done) => setTimeout(done, 700));
    let now;
    try { now = (await ask("store")).map; } catch { continue; }
    if (now.state === "making") continue;
    set({ making: false });
    if (now.error) problem("The map could not be made: " + now.error + ". The simpler one and the lists still work.");
    else if (now.kinds[0] !== state.map) { set({ map: now.kinds[0] }); await maps.loadMap(now.kinds[0], true); if (stage.places) maps.setStars([]); }
    return;
  }
}

begin().catch((error) => problem(error.code === "no_token" ? "This address lacks its token. Open the address that was printed in the terminal, with all that stands behind #." : error.message, () => location.reload()));
