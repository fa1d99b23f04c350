// Drawings out of numbers: a strip of scores, a line over time, a histogram beside its reference.
// Each says in words what it shows; nothing is told by colour alone.

import { count, el, minute, number, percent, shown, svg } from "./common.js";

const STRIP_HEIGHT = 22;
const HEIGHT = 170;
const EDGE = { top: 16, right: 12, bottom: 26, left: 54 };

/** Which of four steps a score is in; beyond the limit from 2 on. Nulls have their own scale. */
export function step(value, limit) {
  const parts = value / limit;
  return parts < 0.5 ? 0 : parts < 1 ? 1 : parts < 2 ? 2 : 3;
}

/** Scores of a column, a cell a window; drift has a bar across its top. */
export function strip(name, values, states, windows, limit) {
  const label = described(name, values, states);
  const cells = values.map((value, at) => {
    const said = value === null ? states[at] ?? "not judged" : number(value);
    const kind = value === null ? "none" : `heat-${step(value, limit)}`;
    const title = svg("title", {}, `${minute(windows[at].start)}: ${said}`);
    const drifted = states[at] === "drift" || states[at] === "missing";
    return svg("g", {}, title,
      svg("rect", { class: kind, x: at + 0.04, y: 0, width: 0.92, height: STRIP_HEIGHT }),
      drifted ? svg("rect", { class: "mark", x: at + 0.04, y: 0, width: 0.92, height: 4 }) : null);
  });
  return svg("svg", { class: "strip", role: "img", "aria-label": label, width: "100%", height: STRIP_HEIGHT,
    viewBox: `0 0 ${values.length} ${STRIP_HEIGHT}`, preserveAspectRatio: "none" }, cells);
}

function described(name, values, states) {
  const known = values.filter((value) => value !== null);
  const drifted = states.filter((state) => state === "drift" || state === "missing").length;
  if (known.length === 0) return `${shown(name)}: nothing could be computed`;
  return `${shown(name)}: ${values.length} windows, highest ${number(Math.max(...known))}, drift in ${drifted}`;
}

function frame(width, height, label) {
  return svg("svg", { class: "chart", role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` });
}

function text(x, y, anchor, said) {
  return svg("text", { x, y, "text-anchor": anchor }, said);
}

/**
 * One number of `points` over time. `of` and `other` pick it, `others` says what the other one is; `limit` is
 * drawn across; `form` writes it. With `fit` the axis spans what there is instead of beginning at 0; where
 * `missing` gives a reason, the window is hatched and says it.
 */
export function line(points, width, { title, of, other, others: what = "the reference", limit, form = number, fit = false, missing }) {
  const present = (value) => value !== null && value !== undefined;
  const known = points.map(of).filter(present);
  const newest = points.findLast((point) => present(of(point)));
  const others = other ? points.map(other).filter(present) : [];
  const label = known.length === 0
    ? `${title}: ${others.length === 0 ? "nothing could be computed" : `${what} only`}`
    : `${title}: newest ${form(of(newest))}, lowest ${form(Math.min(...known))}, highest ${form(Math.max(...known))}`;
  const all = [...known, ...others];
  const most = fit && all.length > 0 ? Math.max(...all) : Math.max(...all, limit ?? 0, 0) || (form === percent ? 0.01 : 1);
  const least = fit && all.length > 0 ? Math.min(...all) : Math.min(0, ...all);
  const above = (fit ? most - least || Math.abs(most) || 1 : most) * 0.08;
  const [low, high] = [fit ? least - above : least, most + above];
  const room = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
  const x = (at) => EDGE.left + (points.length < 2 ? room.width / 2 : (at / (points.length - 1)) * room.width);
  const y = (value) => EDGE.top + (1 - (value - low) / (high - low)) * room.height;
  const out = frame(width, HEIGHT, label);
  if (missing) out.append(...gaps(points, missing, x, room));
  const across = (value, kind) =>
    svg("line", { class: kind, x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) });
  out.append(across(low, "axis"), text(EDGE.left - 6, y(least) + 4, "end", form(least)));
  if (most !== least) out.append(text(EDGE.left - 6, y(most) + 4, "end", form(most)));
  if (present(limit)) out.append(across(limit, "limit"));
  if (other) out.append(path(points.map(other), x, y, fit ? "beside" : "other"));
  out.append(path(points.map(of), x, y, "line"));
  points.forEach((point, at) => {
    const beside = other && fit ? other(point) : null;
    const said = (value) => `${minute(point.window_start)}: ${form(value)}`;
    if (present(beside)) {
      out.append(svg("circle", { class: "dot other", cx: x(at), cy: y(beside), r: 1.7 }, svg("title", {}, `${said(beside)}, ${what}`)));
    }
    const value = of(point);
    if (!present(value)) return;
    const drifted = point.state === "drift" || point.state === "missing";
    const both = present(beside) ? `; ${what} ${form(beside)}` : "";
    const dot = svg("circle", { class: drifted ? "dot drift" : "dot", cx: x(at), cy: y(value), r: drifted ? 4 : 2.2 },
      svg("title", {}, `${said(value)}${drifted ? ", drift" : ""}${both}`));
    out.append(dot);
  });
  if (points.length > 0) {
    out.append(text(EDGE.left, HEIGHT - 8, "start", minute(points[0].window_start)));
    if (points.length > 1 && width > 340) {
      out.append(text(width - EDGE.right, HEIGHT - 8, "end", minute(points[points.length - 1].window_start)));
    }
  }
  const limited = present(limit) ? ` Dashed: the limit, ${form(limit)}.` : "";
  const second = other && !fit ? ` Dotted: ${what}.` : "";
  return el("figure", {}, out, el("figcaption", {}, `${title}.${limited}${second}`));
}

/** Hatching over the windows that something is missing of. */
function gaps(points, missing, x, room) {
  const stride = points.length < 2 ? room.width : room.width / (points.length - 1);
  return points.flatMap((point, at) => {
    const why = missing(point);
    if (why === null) return [];
    const from = Math.max(EDGE.left, x(at) - stride / 2);
    const to = Math.min(EDGE.left + room.width, x(at) + stride / 2);
    const lines = [];
    for (let along = from - room.height; along < to; along += 6) {
      // From the floor up to the right at 45 degrees, cut at both sides.
      const [start, end] = [Math.max(from, along), Math.min(to, along + room.height)];
      if (start < end) lines.push(`M${start.toFixed(1)} ${(EDGE.top + room.height - (start - along)).toFixed(1)}L${end.toFixed(1)} ${(EDGE.top + room.height - (end - along)).toFixed(1)}`);
    }
    return [svg("g", { class: "gap" }, svg("title", {}, `${minute(point.window_start)}: ${why}`),
      svg("rect", { x: from, y: EDGE.top, width: to - from, height: room.height }), svg("path", { d: lines.join("") }))];
  });
}

/** A line with gaps where there is no number. */
function path(values, x, y, kind) {
  let pen = "M";
  const steps = values.map((value, at) => {
    if (value === null || value === undefined) {
      pen = "M";
      return "";
    }
    const to = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    return to;
  });
  return svg("path", { class: kind, d: steps.join("") });
}

/** Bars of the reference with those of the window before them: upright for numbers, lying for names. */
export function histogram(answer, width) {
  const { bars, column } = answer;
  if (bars.length === 0) return el("p", { class: "note" }, "No row of this window was counted.");
  const most = Math.max(...bars.flatMap((bar) => [bar.reference, bar.current])) || 1;
  const label = `Shares of ${shown(column)}: reference against window`;
  const out = answer.kind === "numeric" ? upright(bars, most, width, label) : lying(bars, most, width, label);
  const caption = el("figcaption", {},
    el("span", { class: "key reference" }), `reference, ${count(answer.reference_rows)} rows `,
    el("span", { class: "key current" }), `window, ${count(answer.rows)} rows · shares of all rows`);
  const rows = bars.map((bar) => [shown(bar.label), percent(bar.reference), percent(bar.current)]);
  const title = "Shares as drawn";
  const heads = ["Bin", "#Reference", "#Window"];
  return el("figure", {}, out, caption, el("details", {}, el("summary", {}, "As a table"), tableOf(title, heads, rows)));
}

function tableOf(title, heads, rows) {
  const cell = (at) => (heads[at].startsWith("#") ? "n" : undefined);
  return el("table", {}, el("caption", {}, title),
    el("thead", {}, el("tr", {}, heads.map((head, at) => el("th", { scope: "col", class: cell(at) }, head.replace("#", ""))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, at) =>
      at === 0 ? el("th", { scope: "row" }, el("bdi", {}, value)) : el("td", { class: cell(at) }, value))))));
}

const hover = (bar) =>
  svg("title", {}, `${shown(bar.label)}: reference ${percent(bar.reference)}, window ${percent(bar.current)}`);

function upright(bars, most, width, label) {
  const height = 210;
  const out = frame(width, height, label);
  const floor = height - EDGE.bottom;
  const room = floor - EDGE.top - 8;
  const stride = (width - 24) / bars.length;
  bars.forEach((bar, at) => {
    const x = 12 + at * stride;
    const one = (kind, share, inset) =>
      svg("rect", { class: kind, x: x + stride * inset, width: stride * (1 - 2 * inset),
        y: floor - (share / most) * room, height: (share / most) * room });
    out.append(svg("g", {}, hover(bar), one("r", bar.reference, 0.06), one("c", bar.current, 0.3)));
  });
  out.append(svg("line", { class: "axis", x1: 12, x2: width - 12, y1: floor, y2: floor }));
  const ticks = Math.min(bars.length, Math.max(2, Math.floor(width / 150)));
  for (let k = 0; k < ticks && bars.length > 1; k += 1) {
    const at = Math.floor((k * (bars.length - 1)) / (ticks - 1));
    const x = 12 + at * stride;
    const [anchor, place] = k === 0 ? ["start", x] : k === ticks - 1 ? ["end", x + stride] : ["middle", x + stride / 2];
    out.append(text(place, height - 8, anchor, shown(bars[at].label, 18)));
  }
  out.append(text(12, 14, "start", percent(most)));
  return out;
}

function lying(bars, most, width, label) {
  const line = 24;
  const names = Math.min(190, width * 0.4);
  const room = width - names - 70;
  const out = frame(width, bars.length * line + 12, label);
  bars.forEach((bar, at) => {
    const y = 6 + at * line;
    const one = (kind, share, top, height) =>
      svg("rect", { class: kind, x: names, y: y + top, width: (share / most) * room, height });
    const end = names + (Math.max(bar.reference, bar.current) / most) * room;
    out.append(svg("g", {}, hover(bar), text(names - 8, y + 16, "end", shown(bar.label, Math.floor(names / 8))),
      one("r", bar.reference, 2, 20), one("c", bar.current, 7, 10), text(end + 6, y + 16, "start", percent(bar.current))));
  });
  return out;
}
