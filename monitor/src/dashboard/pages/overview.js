// The first page: which models are watched, how far their columns are, what this process does.

import { strip } from "./charts.js";
import { address, ask, badge, changed, choice, count, el, facts, fill, follow, heading, minute, named, number,
  onWidth, percent, redraw, remember, shown, span, state, table, time, whose } from "./common.js";
import { draw as figures } from "./performance.js";

const form = document.getElementById("choice");
/** Columns asked for at a time, and so far. */
const PAGE = 50;
let columns = PAGE;
/** What is drawn now, for another width. */
let performance = null;
/** How a share of nulls is coloured: there is no limit on it as such. */
const NULLS = 0.1;

const again = follow(async () => {
  const overview = await ask("overview");
  heading(overview);
  const chosen = pick(overview.models);
  changed("summary", [overview.alerts, overview.alerts_problem, overview.windows], () => summary(overview));
  changed("models", [overview.models, chosen], () => models(overview.models, chosen));
  document.getElementById("columns").hidden = chosen === undefined;
  if (chosen) {
    const { reference, measure, windows } = choice(form);
    const { model, version, arm } = chosen;
    const heat = await ask("heat", { model, version, arm, reference, measure, windows, columns });
    changed("heat", heat, strips);
    performance = overview.has_labels ? await ask("performance", { model, version, arm, windows }) : null;
  }
  changed("performance", [performance, chosen === undefined], () => figures(performance));
  process(await ask("process"));
});
remember(form, again);
onWidth(() => {
  redraw("performance");
  figures(performance);
});
document.getElementById("more").addEventListener("click", () => {
  columns = Math.min(columns + PAGE, 200);
  again();
});

/** The model that the address names, or the first. */
function pick(all) {
  const { model, version, arm } = whose();
  const same = (one) => one.model === model && one.version === version && one.arm === arm;
  return all.find(same) ?? all[0];
}

function summary({ alerts, alerts_problem: problem, windows, models }) {
  const said = [];
  if (problem !== null) said.push(badge("alerts unknown", "bad"), ` ${shown(problem)}. `);
  else if (alerts === null) said.push("No alert state yet. ");
  else if (alerts.open === 0) said.push("No alert is open. ");
  else {
    const critical = alerts.critical > 0 ? `, ${alerts.critical} critical` : "";
    const many = alerts.open === 1 ? "1 alert is open" : `${alerts.open} alerts are open`;
    said.push(el("a", { href: address("alerts") }, `${many}${critical}`), ". ");
  }
  if (alerts?.undelivered > 0) said.push(badge(`${alerts.undelivered} undelivered`, "bad"), " ");
  if (windows.newest_end === null) said.push("No window is judged yet: the first one is complete when newer events have come.");
  else said.push(`${count(windows.kept)} windows of ${length(windows.length_seconds)} are judged, up to `, time(windows.newest_end), ".");
  if (windows.rows_left_out > 0) said.push(` ${count(windows.rows_left_out)} rows are not shown: too many names.`);
  fill("summary", said);
  if (models.length === 0) fill("models", el("li", {}, "None yet."));
}

function length(seconds) {
  if (seconds % 86400 === 0) return `${seconds / 86400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function models(all, chosen) {
  const card = (one) => {
    const { model, version, arm } = one;
    const of = (reference) => {
      const states = one.columns[reference];
      if (!states) return null;
      const total = Object.values(states).reduce((a, b) => a + b, 0);
      return `${(states.drift ?? 0) + (states.missing ?? 0)} of ${total} drifted`;
    };
    const is = one === chosen;
    const link = el("a", { href: address("", { model, version, arm }), "aria-current": is ? "true" : null },
      named(model), " ", named(version), arm ? [" · ", named(arm)] : null);
    const few = one.columns.training?.too_few_rows;
    return el("li", { class: is ? "chosen" : null }, el("h3", {}, link), state(one.state),
      facts([
        ["Window", span(one.window_start, one.window_end)],
        ["Rows", `${count(one.rows)}, ${count(one.previous_rows)} before`],
        ["Training", of("training")],
        ["Before", of("previous")],
        ["Too few rows", few ? `${few} columns` : null],
        ["Windows", count(one.windows)],
        ["Why", one.reason ? shown(one.reason) : null],
      ]));
  };
  if (all.length > 0) fill("models", all.map(card));
}

function strips(heat) {
  const isNulls = heat.measure === "null_share";
  const limit = heat.threshold ?? NULLS;
  const form = isNulls ? percent : number;
  const first = heat.windows[0];
  const last = heat.windows[heat.windows.length - 1];
  fill("strip-note", `${heat.windows.length} windows, ${span(first.start, last.end)}. The worst columns of the newest window come first; a bar across the top of a cell is drift: an effect, and significant.`);
  const keys = [["heat-0", `below ${form(limit / 2)}`], ["heat-1", `below ${form(limit)}`],
    ["heat-2", `below ${form(2 * limit)}`], ["heat-3", `${form(2 * limit)} and more`], ["drifted", "drift"], ["", "not judged"]];
  fill("legend", keys.map(([kind, said]) => el("li", {}, el("span", { class: `key ${kind}` }), said)));
  const { model, version, arm, reference } = heat;
  const item = ({ column, values, states }) => {
    const newest = values[values.length - 1];
    const href = address("column", { model, version, arm, column, reference });
    return el("li", {}, el("a", { href }, named(column)),
      el("span", { class: "score" }, form(newest)),
      el("span", {}, state(states[states.length - 1] ?? "not judged")),
      strip(column, values, states, heat.windows, limit));
  };
  fill("strips", heat.columns.map(item));
  const more = document.getElementById("more");
  more.hidden = heat.next_offset === null || columns >= 200;
  more.textContent = `More columns (${heat.columns.length} of ${heat.total_columns} shown)`;
}

function process(of) {
  const parts = of.parts.map(({ name, up }) => [shown(name), up ? badge("up") : badge("down", "bad")]);
  const rates = of.rates.map(({ name, total, per_second }) =>
    [shown(name), count(total), per_second === null ? "·" : number(per_second)]);
  const gauges = of.gauges.map(({ name, value }) => [shown(name), count(value)]);
  const none = "Only the hops of this process are told here; others tell theirs on their own address.";
  fill("hops", table("Parts that readiness waits for", ["Part", "State"], parts),
    rates.length > 0 ? table("Records", ["What", "#Since start", "#Per second"], rates) : "",
    gauges.length > 0 ? table("Lag and queues", ["What", "#Now"], gauges) : "",
    el("p", { class: "note" }, none));
}
