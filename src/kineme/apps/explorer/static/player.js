// Skeletons on a plain canvas: projection, bodies, one clock for everything that moves.

import { theme } from "./colours.js";
import { ask } from "./wire.js";
import { state } from "./state.js";

const FAR = 5;  // body heights from the viewer
export const PAUSE = 0.3;  // rest between loops, seconds

export class Clip {  // one clip of a container
  constructor(head, number = 0, limbs = null) {
    const about = head.clips[number];
    let first = 0;
    for (let i = 0; i < number; i++) first += head.clips[i].frames;
    Object.assign(this, about, { coords: head.coords, limbs: limbs || head.limbs, head: (limbs ? state.store.layout.head : head.head) || [] });
    const [, people, joints, coords] = head.local.shape;
    this.m = people; this.v = joints; this.c = coords;
    const each = people * joints;
    this.root = head.root.subarray(first * people * coords, (first + about.frames) * people * coords);
    this.local = head.local.subarray(first * each * coords, (first + about.frames) * each * coords);
    this.sure = head.seen ? head.seen.subarray(first * each, (first + about.frames) * each) : null;
    this.length = about.seconds || about.total / 30;
    this.rate = (about.frames - 1) / Math.max(this.length, 1e-6);
    this.path = smoothed(this);
  }

  at(seconds) {  // frame number, with its fraction
    return Math.min(Math.max(seconds * this.rate, 0), this.frames - 1);
  }
}

function smoothed(clip) {  // where the camera looks: the bodies' middle on the floor, low-passed over half a second
  const out = new Float32Array(clip.frames * 3), keep = Math.exp(-1 / Math.max(clip.rate * 0.25, 1));
  const middle = (t) => {
    const found = [0, 0, 0];
    let n = 0;
    for (let m = 0; m < clip.m; m++) {
      let there = false;
      for (let v = 0; v < clip.v && !there; v++) there = !Number.isNaN(clip.local[((t * clip.m + m) * clip.v + v) * clip.c]);
      if (!there) continue;
      n++;
      for (let c = 0; c < clip.c; c++) found[c] += clip.root[(t * clip.m + m) * clip.c + c];
    }
    return n ? found.map((each) => each / n) : null;
  };
  let now = null;
  for (let t = 0; t < clip.frames && !now; t++) now = middle(t);
  now = now || [0, 0, 0];
  for (let t = 0; t < clip.frames; t++) {
    const m = middle(t);
    if (m) now = now.map((each, c) => keep * each + (1 - keep) * m[c]);
    out.set(now, 3 * t);
  }
  return out;
}

export function view() { return { yaw: 0, pitch: 0.12, zoom: 1, x: 0, y: 0, follow: true, mirror: false, reverse: false, ghosts: false }; }

function project(clip, t, camera, width, height, still) {  // places and depths in pixels of one moment
  const f = Math.floor(t), g = Math.min(f + 1, clip.frames - 1), part = t - f, out = [];
  const tall = Math.max(clip.height, 1e-6), scale = (0.72 * height * camera.zoom) / (tall * (clip.coords === 2 ? Math.max(1, (clip.top - clip.floor) / tall / 1.15) : 1));
  const yaw = (clip.coords === 2 ? 0 : clip.yaw + camera.yaw), cos = Math.cos(yaw), sin = Math.sin(yaw);
  const pitch = clip.coords === 2 ? 0 : camera.pitch, cp = Math.cos(pitch), sp = Math.sin(pitch);
  const p = still ?? (camera.follow ? f : 0);
  const look = [clip.path[3 * p], clip.floor + 0.52 * tall, clip.path[3 * p + 2]];
  const hand = camera.mirror ? -1 : 1;
  const place = (x, y, z) => {
    x -= look[0]; y -= look[1]; z -= look[2];
    const a = hand * (x * cos + z * sin), b = -x * sin + z * cos;
    const up = y * cp - b * sp, near = y * sp + b * cp;
    const k = clip.coords === 2 ? scale : (scale * FAR) / Math.max(FAR - near / tall, 0.5);
    return [width / 2 + camera.x + a * k, height * 0.5 + camera.y - up * k, near];
  };
  for (let m = 0; m < clip.m; m++) {
    const body = new Array(clip.v);
    for (let v = 0; v < clip.v; v++) {
      const one = ((f * clip.m + m) * clip.v + v) * clip.c, other = ((g * clip.m + m) * clip.v + v) * clip.c;
      const r = (f * clip.m + m) * clip.c, q = (g * clip.m + m) * clip.c;
      let x = clip.local[one] + clip.root[r], y = clip.local[one + 1] + clip.root[r + 1], z = clip.c > 2 ? clip.local[one + 2] + clip.root[r + 2] : 0;
      if (part && !Number.isNaN(clip.local[other])) {
        x += part * (clip.local[other] + clip.root[q] - x); y += part * (clip.local[other + 1] + clip.root[q + 1] - y);
        if (clip.c > 2) z += part * (clip.local[other + 2] + clip.root[q + 2] - z);
      }
      body[v] = Number.isNaN(x) ? null : place(x, y, z);
      if (body[v] && clip.sure) body[v].push(clip.sure[(f * clip.m + m) * clip.v + v] / 255);
    }
    out.push(body);
  }
  return { bodies: out, place, look, tall };
}

const SIDES = ["trunk", "left", "right"];

export function draw(canvas, clip, time, camera, { clear = true, alpha = 1, floor = true, chosen = null, marked = null } = {}) {
  const context = sized(canvas), { width, height } = canvas, size = Math.min(width, height);
  if (clear) context.clearRect(0, 0, width, height);
  if (!clip) return null;
  const at = clip.at(camera.reverse ? clip.length - time : time);
  const now = project(clip, at, camera, width, height);
  if (floor && clip.coords === 3) tiles(context, clip, now);
  if (camera.ghosts) for (let g = 5; g > 0; g--) {
    const past = clip.at(time - 0.2 * g);
    if (past < at) figure(context, clip, project(clip, past, camera, width, height, camera.follow ? Math.floor(at) : 0).bodies, size, 0.28 - 0.036 * g, null);
  }
  figure(context, clip, now.bodies, size, alpha, chosen, marked);
  return now;
}

function figure(context, clip, bodies, size, alpha, chosen, marked = null) {
  context.lineCap = "round"; context.lineJoin = "round"; context.globalAlpha = alpha;
  bodies.forEach((body, m) => {
    const line = Math.max(size * 0.014, 1.5) * (chosen === null || chosen === m ? 1 : 0.6);
    const middle = (joints) => {
      const there = joints.map((j) => body[j]).filter(Boolean);
      return there.length === joints.length ? [0, 1].map((c) => there.reduce((sum, p) => sum + p[c], 0) / there.length) : null;
    };
    const depth = (side) => { let sum = 0, n = 0; for (const [end,, s] of clip.limbs) if (s === side && body[end[0]]) { sum += body[end[0]][2]; n++; } return n ? sum / n : 0; };
    const parts = SIDES.map((side) => [depth(side), side]).sort((a, b) => a[0] - b[0]);  // far limbs first
    for (const [, side] of parts) {
      context.strokeStyle = context.fillStyle = theme[side];
      for (const weak of clip.sure ? [false, true] : [false]) {
        context.lineWidth = weak ? line * 0.35 : line;
        context.setLineDash(m ? [line * 2.2, line * 1.6] : []);
        context.beginPath();
        for (const [end, start, s] of clip.limbs) {
          if (s !== side) continue;
          const low = [...end, ...start].some((j) => body[j] && body[j][3] < 0.3);
          if (low !== weak) continue;
          const a = middle(start), b = middle(end);
          if (a && b) { context.moveTo(a[0], a[1]); context.lineTo(b[0], b[1]); }
        }
        context.stroke();
      }
      context.setLineDash([]);
      const r = line * 0.85;
      if (size > 150) for (const [end,, s] of clip.limbs) {  // left joints are round, right ones square
        if (s !== side || side === "trunk" || end.length > 1 || !body[end[0]]) continue;
        const [x, y] = body[end[0]];
        context.beginPath();
        if (side === "left") context.arc(x, y, r, 0, 7); else context.rect(x - r, y - r, 2 * r, 2 * r);
        if (body[end[0]][3] < 0.3) { context.lineWidth = 1; context.stroke(); } else context.fill();
      }
    }
    const top = middle(clip.head);
    if (top && clip.head.length) {
      const r = size * (clip.coords === 2 ? 0.03 : 0.042);
      context.lineWidth = line; context.strokeStyle = theme.trunk; context.fillStyle = theme.page;
      context.beginPath(); context.arc(top[0], top[1], r, 0, 7); context.fill(); context.stroke();
    }
    if (marked !== null && m === 0 && body[marked]) { context.lineWidth = 2; context.strokeStyle = theme.star; context.beginPath(); context.arc(body[marked][0], body[marked][1], 12, 0, 7); context.stroke(); }
  });
  context.globalAlpha = 1;
}

function tiles(context, clip, { place, look, tall }) {
  context.strokeStyle = theme.faint; context.lineWidth = 1;
  const step = tall / 2, reach = 3;
  const x0 = Math.round(look[0] / step), z0 = Math.round(look[2] / step);
  context.beginPath();
  for (let i = -reach; i <= reach; i++) for (const ends of [
    [[(x0 + i) * step, (z0 - reach) * step], [(x0 + i) * step, (z0 + reach) * step]], [[(x0 - reach) * step, (z0 + i) * step], [(x0 + reach) * step, (z0 + i) * step]]]) {
    const [a, b] = ends.map(([x, z]) => place(x, clip.floor, z));
    context.moveTo(a[0], a[1]); context.lineTo(b[0], b[1]);
  }
  context.stroke();
}

export function sized(canvas, most = 2.6e6) {  // the backing store follows what is shown
  const density = window.devicePixelRatio || 1;
  let w = Math.max(1, Math.round(canvas.clientWidth * density)), h = Math.max(1, Math.round(canvas.clientHeight * density));
  const over = Math.sqrt(Math.max(1, (w * h) / most));
  w = Math.round(w / over); h = Math.round(h / over);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  return canvas.getContext("2d");
}

// ------------------------------------------------------------------------------------------------------- fetching

const kept = new Map();
export async function clip(row) {
  if (!kept.has(row)) {
    const head = await ask("clip/" + row);
    const found = new Clip(head, 0, state.store.layout.limbs);
    found.about = head.about;
    kept.set(row, found);
    if (kept.size > 100) kept.delete(kept.keys().next().value);
  }
  return kept.get(row);
}

const small = new Map();
export async function cards(rows) {
  const missing = rows.filter((row) => !small.has(row));
  for (let i = 0; i < missing.length; i += 24) {
    const part = missing.slice(i, i + 24), head = await ask("clips?rows=" + part.join(","));
    part.forEach((row, n) => small.set(row, new Clip(head, n, state.store.layout.limbs)));
  }
  const found = rows.map((row) => small.get(row));
  while (small.size > 300) small.delete(small.keys().next().value);
  return found;
}

// ------------------------------------------------------------------------------------------------------ the clock

export const clock = { time: 0, calls: new Set(), last: 0 };
export const still = matchMedia("(prefers-reduced-motion: reduce)");

function tick(now) {
  const step = Math.min((now - clock.last) / 1000, 0.1);
  clock.last = now;
  if (state.playing) clock.time += step * state.speed;
  for (const call of clock.calls) call(state.playing ? step * state.speed : 0);
  requestAnimationFrame(tick);
}
export function startClock() { requestAnimationFrame((now) => { clock.last = now; tick(now); }); }
