// Colours of the theme for canvases, which do not follow the style sheet by themselves; class colours and shapes.

export const theme = {};
export const MOST = 8;

export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["page", "card", "ink", "second", "border", "faint", "accent", "left", "right", "trunk", "grey", "star", "rest", ...Array.from({ length: MOST }, (_, i) => "c" + i)])
    theme[name] = style.getPropertyValue("--" + name).trim();
  theme.dark = light(rgb(theme.page)) < 0.5;
}

export function rgb(text) {
  const n = text.length === 4 ? [...text.slice(1)].map((c) => parseInt(c + c, 16)) : [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  return n;
}
const light = ([r, g, b]) => (0.3 * r + 0.59 * g + 0.11 * b) / 255;

export function contrast(one, other) {
  const [a, b] = [one, other].map((colour) => colour.reduce((sum, v, c) => sum + [0.2126, 0.7152, 0.0722][c] * (v / 255) ** 2.2, 0.05));
  return Math.max(a / b, b / a);
}

export function ramp(value) {  // of rising lightness (falling on a light page), 0 to 1
  const stops = theme.dark ? [[60, 50, 130], [70, 140, 190], [235, 240, 130]] : [[220, 190, 60], [40, 140, 150], [40, 20, 100]];
  const at = Math.min(Math.max(value, 0), 1) * 2, i = Math.min(Math.floor(at), 1), t = at - i;
  return stops[i].map((each, c) => Math.round(each + t * (stops[i + 1][c] - each)));
}

export function palette(column, tints) {  // what colour each code has: a list of rgb, the last for no value
  if (column.kind === "number") return Array.from({ length: 64 }, (_, i) => ramp(i / 63)).concat([rgb(theme.grey)]);
  const own = (tints || column.categories).map((_, i) => rgb(i < MOST && (column.categories.length <= MOST || i < MOST - 1) ? theme["c" + i] : theme.rest));
  return own.concat([rgb(theme.grey)]);
}

export function mark(context, code, size, colour) {  // shapes beside hues
  const r = size / 2;
  context.fillStyle = `rgb(${colour})`;
  context.beginPath();
  const kind = code % 4;
  if (kind === 0) context.rect(r * 0.4, r * 0.4, r * 1.2, r * 1.2);
  else if (kind === 1) context.arc(r, r, r * 0.7, 0, 7);
  else if (kind === 2) { context.moveTo(r, r * 0.25); context.lineTo(r * 1.75, r * 1.6); context.lineTo(r * 0.25, r * 1.6); }
  else { context.moveTo(r, r * 0.2); context.lineTo(r * 1.8, r); context.lineTo(r, r * 1.8); context.lineTo(r * 0.2, r); }
  context.fill();
}
