// What every page needs: asking the API, making elements out of text, numbers and times for people.
// Refuses HTML: what comes from data becomes text nodes and plain attributes, never markup.

/** Where the pages lie; behind a proxy that may be below a path. */
const base = new URL("../", import.meta.url);
const EVERY_MS = 10_000;
const WITHIN_MS = 15_000;
/** Characters of a name or reason that are shown. */
const MOST_SHOWN = 200;

/** The JSON of a resource; throws with the API's own words. */
export async function ask(resource, query = {}) {
  const url = address(`api/v1/${resource}`, query);
  const response = await fetch(url, { signal: AbortSignal.timeout(WITHIN_MS) });
  const body = await response.json();
  if (response.ok) return body;
  const { message, value, fix } = body.error;
  throw new Error(`${message}${value ? ` (${shown(value)})` : ""}: ${fix}`);
}

/** The address of a page or resource. */
export function address(path, query = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

/** An element; children that are strings become text. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for drawings. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text from data: what would move or turn the writing is shown as an escape, what is long is cut. */
export function shown(text, most = MOST_SHOWN) {
  const characters = [...String(text)];
  const safe = characters.slice(0, most).map((c) =>
    /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u.test(c)
      ? `\\u{${c.codePointAt(0).toString(16)}}`
      : c,
  );
  return safe.join("") + (characters.length > most ? "…" : "");
}

/** A name from data, kept apart from the direction of what stands around it. */
export function named(text) {
  return el("bdi", {}, text === "" || text === null ? "(none)" : shown(text));
}

export function badge(word, kind = "") {
  return el("span", { class: `badge ${kind}` }, shown(word).replaceAll("_", " "));
}

const KINDS = { drift: "bad", missing: "bad", no_data: "bad", volume_low: "warn", volume_high: "warn" };
/** The badge of a state of the reports. */
export const state = (word) => badge(word, KINDS[word] ?? "");
const SEVERITIES = { critical: "bad", warning: "warn" };
export const severity = (word) => badge(word, SEVERITIES[word] ?? "");

/** Terms and what they are; `null` is left out. */
export function facts(pairs, kind = "") {
  const wide = kind === "wide";
  const items = pairs
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([term, value]) => {
      const pair = [el("dt", {}, term), el("dd", {}, value)];
      return wide ? el("div", {}, pair) : pair;
    });
  return el("dl", { class: `facts ${kind}` }, items.flat());
}

/** A table out of heads (`#` before the name: numbers) and rows of cells. */
export function table(caption, heads, rows) {
  const classes = heads.map((head) => (head.startsWith("#") ? "n" : undefined));
  const head = heads.map((name, at) =>
    el("th", { scope: "col", class: classes[at] }, name.replace(/^#/, "")),
  );
  const body = rows.map((cells) =>
    el("tr", {}, cells.map((cell, at) => el(at === 0 ? "th" : "td", { class: classes[at], scope: at === 0 ? "row" : undefined }, cell ?? "·"))),
  );
  return el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
}

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (value) => (value === null || value === undefined ? "·" : COUNT.format(value));

/** Three digits that count. */
export function number(value) {
  if (value === null || value === undefined) return "·";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** A p- or q-value: nothing is impossible. */
export const chance = (value) => (value !== null && value < 1e-99 ? "< 1e-99" : number(value));

export const percent = (share) =>
  share === null || share === undefined ? "·" : `${Number((100 * share).toPrecision(3))} %`;

/** An instant in UTC, to the minute. */
export function time(instant) {
  if (instant === null || instant === undefined) return "·";
  const text = new Date(instant).toISOString();
  return el("time", { datetime: text }, minute(instant));
}

/** The same as a string. */
export const minute = (instant) =>
  `${new Date(instant).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** An instant as a day where it begins one, else to the minute. */
export const day = (instant) => minute(instant).replace(/ 00:00 UTC$/, "");

/** From one instant to another; a day is said once. */
export function span(from, to) {
  const [start, end] = [minute(from), minute(to)];
  return `${start} to ${start.slice(0, 10) === end.slice(0, 10) ? end.slice(11) : end}`;
}

/** Replaces what is in an element. */
export function fill(id, ...children) {
  document.getElementById(id).replaceChildren(...children.flat());
}

const drawn = new Map();
/** Draws only what changed: nobody loses their place because time goes by. */
export function changed(what, value, draw) {
  const text = JSON.stringify(value);
  if (drawn.get(what) === text) return;
  drawn.set(what, text);
  draw(value);
}

/** Draws again whatever is drawn next, as after a change of width. */
export function redraw(...what) {
  what.forEach((one) => drawn.delete(one));
}

/** What the choice says, and what the address adds. */
export function choice(form) {
  return Object.fromEntries(new FormData(form));
}

/** Sets the selects of a form by the address, and the address by them. */
export function remember(form, then) {
  const query = new URLSearchParams(location.search);
  for (const select of form.elements) {
    const wanted = query.get(select.name);
    if (wanted && [...select.options].some((option) => option.value === wanted)) select.value = wanted;
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of new FormData(form)) query.set(name, value);
    history.replaceState(null, "", `?${query}`);
    then();
  });
}

/** Whose rows, out of the address. */
export function whose() {
  const query = new URLSearchParams(location.search);
  const own = (name) => query.get(name) ?? "";
  return { model: own("model"), version: own("version"), arm: own("arm") };
}

/** Runs `step` now, every ten seconds while somebody looks, and when `again` is called. */
export function follow(step) {
  let timer;
  let running = false;
  let wanted = false;
  const trouble = document.getElementById("trouble");
  const run = async () => {
    wanted = true;
    if (running) return;
    running = true;
    clearTimeout(timer);
    while (wanted) {
      wanted = false;
      try {
        await step();
        trouble.hidden = true;
        trouble.textContent = "";
      } catch (error) {
        const said = error instanceof TypeError || error.name === "TimeoutError"
          ? "The monitor does not answer; what is shown may be old."
          : shown(error.message, 400);
        if (trouble.textContent !== said) trouble.textContent = said;
        trouble.hidden = false;
      }
    }
    running = false;
    timer = setTimeout(() => (document.hidden ? undefined : run()), EVERY_MS);
  };
  document.addEventListener("visibilitychange", () => document.hidden || run());
  run();
  return run;
}

/** What stands in the head of every page. */
export function heading(overview) {
  document.getElementById("pipeline").replaceChildren(named(overview.pipeline));
  const open = overview.alerts?.open ?? 0;
  const badge = document.getElementById("open-alerts");
  badge.hidden = open === 0;
  badge.textContent = `${open} open`;
}

/** Calls `draw` when the width of the page has settled at another one. */
export function onWidth(draw) {
  let width = document.documentElement.clientWidth;
  let timer;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.documentElement.clientWidth === width) return;
      width = document.documentElement.clientWidth;
      draw();
    }, 150);
  });
}
