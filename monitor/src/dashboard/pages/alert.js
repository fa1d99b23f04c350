// One alert: which columns, what happened, who was told.

import { address, ask, badge, chance, changed, count, el, facts, fill, follow, heading, named, number, severity, shown, table, time } from "./common.js";

const id = decodeURIComponent(location.pathname.split("/").pop());

follow(async () => {
  heading(await ask("overview"));
  changed("alert", await ask("alert", { id }), draw);
});

function draw({ alert, history, deliveries }) {
  document.title = `${shown(alert.group.model, 60)}: ${alert.group.class} · Tidegate`;
  fill("title", named(alert.group.model), `: ${alert.group.class}`);
  fill("whose", severity(alert.severity), " ", badge(alert.state, alert.state === "firing" ? "bad" : ""), " ",
    alert.silenced ? badge("silenced") : "", " ", shown(alert.summary));
  fill("facts", facts([
    ["Fired", time(alert.fired_at_ms)],
    ["Resolved", alert.resolved_at_ms === null ? null : time(alert.resolved_at_ms)],
    ["Latest window", [time(alert.window_start_ms), " to ", time(alert.window_end_ms)]],
    ["Columns", count(alert.subjects)],
    ["Acknowledged by", alert.acknowledged_by ? named(alert.acknowledged_by) : null],
    ["Retraining", alert.retraining ? shown(alert.retraining) : null],
    ["Id", alert.id],
  ]));
  fill("concerns", table("The worst first", ["Column", "Rule", "Measure", "#Value", "#Limit", "#q", "#Rows", "Why"],
    alert.concerns.map((of) => [link(of), shown(of.rule), of.measure.replaceAll("_", " "), number(of.value), number(of.threshold),
      chance(of.q), count(of.rows), shown(of.reason)])));
  fill("history", history.map((line) => el("li", {}, time(line.at_ms), ` ${shown(line.what)} `, named(line.detail === "" ? " " : line.detail))));
  fill("deliveries", deliveries.length === 0 ? el("p", { class: "note" }, "Nobody was to be told.") :
    table("The oldest first", ["Route", "Message", "State", "#Tries", "When", "Error"],
      deliveries.map((one) => [shown(one.route), shown(one.kind), badge(one.state, one.state === "dead" ? "bad" : ""),
        count(one.attempts), time(one.finished_ms ?? one.due_ms), shown(one.error)])));
}

/** A column of the reports has a page; a hop or all rows have none. */
function link(of) {
  const said = of.segment === "" ? [] : [` [${shown(of.segment)}]`];
  const drift = ["psi", "ks", "jensen_shannon", "wasserstein", "cramers_v", "null_share", "new_categories", "out_of_range"];
  if (!drift.includes(of.measure)) return el("span", {}, named(of.subject), said);
  const { model, version, arm, subject: column } = of;
  return el("span", {}, el("a", { href: address("column", { model, version, arm, column }) }, named(column)), said);
}
