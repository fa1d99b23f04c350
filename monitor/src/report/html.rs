//! The report as one page: no script, no request, light and dark.
//!
//! Every text that comes from data is escaped, and the page's own policy forbids whatever an escape
//! might have missed.

mod chart;

use std::fmt::Write as _;

use super::bars::number;
use super::column::{ColumnReport, Side, Verdict};
use super::judge::short;
use super::text::harmless;
use super::{Report, Source};

const STYLE: &str = include_str!("html/style.css");

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    overview(&mut out, report);
    for (place, column) in report.ranked().into_iter().enumerate() {
        if matches!(column.verdict, Verdict::NotCompared | Verdict::New) {
            continue;
        }
        section(&mut out, place, column);
    }
    left_out(&mut out, report);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Text as it may stand in an element or between double quotes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

// Writing to a string cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

fn head(out: &mut String, report: &Report) {
    let drifted = report.count(Verdict::Drift) + report.count(Verdict::Missing);
    let title = match drifted {
        0 => "No drift".to_owned(),
        1 => "1 column drifted".to_owned(),
        many => format!("{many} columns drifted"),
    };
    put!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · drift report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>{title}</h1>\n<dl class=\"sides\">\n"
    );
    source(out, "reference", "Reference", &report.reference);
    source(out, "current", "Current", &report.current);
    let rule = report.rule;
    put!(
        out,
        "</dl>\n<p>A column has drifted when the effect is large enough (PSI, its bias taken off, at \
         least {}, or Kolmogorov-Smirnov D at least {}) <em>and</em> significant (q of that test at \
         most {} after Benjamini-Hochberg over the columns{}).</p>\n",
        rule.psi_threshold,
        rule.ks_threshold,
        rule.alpha,
        if rule.independent {
            "; rows are taken as independent"
        } else {
            "; p-values are deflated by φ, how much more the reference varies between its own chunks \
             than independent rows would"
        }
    );
}

fn source(out: &mut String, class: &str, title: &str, source: &Source) {
    let profile = source.profile.as_ref();
    let profile = profile.map_or(String::new(), |id| format!(", profile {}", escape(id)));
    put!(
        out,
        "<div><dt><span class=\"key {class}\"></span>{title}</dt><dd>{}<br>{} rows{profile}</dd></div>\n",
        escape(&source.name),
        grouped(source.rows)
    );
}

fn overview(out: &mut String, report: &Report) {
    out.push_str(
        "<h2 id=\"columns\">Columns</h2>\n<div class=\"scroll\" role=\"region\" \
         aria-labelledby=\"columns\" tabindex=\"0\">\n<table>\n<thead><tr>\
         <th scope=\"col\">Column</th><th scope=\"col\">Verdict</th>\
         <th scope=\"col\" class=\"n\">PSI</th><th scope=\"col\" class=\"n\">D</th>\
         <th scope=\"col\" class=\"n\">W1 / spread</th><th scope=\"col\" class=\"n\">JS</th>\
         <th scope=\"col\" class=\"n\">q</th><th scope=\"col\" class=\"n\">Nulls, reference</th>\
         <th scope=\"col\" class=\"n\">Nulls, current</th></tr></thead>\n<tbody>\n",
    );
    for (place, column) in report.ranked().into_iter().enumerate() {
        if matches!(column.verdict, Verdict::NotCompared | Verdict::New) {
            continue;
        }
        let (ks, chi) = (column.best_ks(), column.chi_square);
        let q = match (ks, chi) {
            (Some(ks), Some(chi)) => Some(ks.q.min(chi.q)),
            (_, chi) => chi.map(|chi| chi.q),
        };
        put!(
            out,
            "<tr><th scope=\"row\"><a href=\"#c{place}\">{}</a></th><td>{}</td>",
            escape(&column.name),
            badge(column.verdict)
        );
        let numbers = [
            column.psi.map(|psi| format!("{:.3}", psi.corrected)),
            ks.map(|ks| format!("{:.3}", ks.d)),
            column.best_wasserstein().map(number),
            column.distances.map(|distances| format!("{:.3}", distances.jensen_shannon)),
            q.map(short),
            nulls(column.reference.as_ref()),
            nulls(column.current.as_ref()),
        ];
        for value in numbers {
            put!(out, "<td class=\"n\">{}</td>", escape(&value.unwrap_or_else(|| "·".to_owned())));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn badge(verdict: Verdict) -> String {
    let class = if verdict.is_drift() { "bad" } else { "calm" };
    format!("<span class=\"badge {class}\">{}</span>", verdict.name())
}

fn nulls(side: Option<&Side>) -> Option<String> {
    let side = side.filter(|side| side.n > 0)?;
    Some(format!("{:.1} %", side.nulls as f64 * 100.0 / side.n as f64))
}

fn section(out: &mut String, place: usize, column: &ColumnReport) {
    put!(
        out,
        "<section id=\"c{place}\" aria-labelledby=\"h{place}\">\n<h2 id=\"h{place}\">{} \
         <small>{}</small> {}</h2>\n<p>{}</p>\n",
        escape(&column.name),
        escape(&column.type_name),
        badge(column.verdict),
        escape(&column.reason)
    );
    if !column.histogram.is_empty() {
        chart::figure(out, column);
    }
    out.push_str("<details><summary>All numbers</summary>\n");
    statistics(out, column);
    if !column.histogram.is_empty() {
        bins(out, column);
    }
    out.push_str("</details>\n</section>\n");
}

fn statistics(out: &mut String, column: &ColumnReport) {
    out.push_str("<table>\n<caption>Statistics</caption>\n<tbody>\n");
    let mut line = |name: &str, value: String| {
        put!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(&value));
    };
    if let Some(psi) = column.psi {
        let text = format!(
            "{} in {} bins; bias {}, corrected {}, p {}, q {}; floored at 0.0001: {}",
            number(psi.value),
            psi.bins,
            number(psi.bias),
            number(psi.corrected),
            short(psi.p),
            short(psi.q),
            number(psi.floored)
        );
        line("PSI", text);
    }
    if let Some(chi) = column.chi_square {
        let text = format!(
            "{}, {} degrees of freedom, p {}, q {}; Cramér's V {}, without bias {}",
            number(chi.value),
            chi.dof,
            short(chi.p),
            short(chi.q),
            number(chi.cramers_v),
            number(chi.cramers_v_corrected)
        );
        line("Chi-square", text);
    }
    if let Some(ks) = column.ks {
        for (name, ks) in [
            ("Kolmogorov-Smirnov, raw values", ks.exact),
            ("Kolmogorov-Smirnov, stored bins", Some(ks.binned)),
        ] {
            if let Some(ks) = ks {
                let (p, q) = (short(ks.p), short(ks.q));
                line(name, format!("D {}, p {p} ({}), q {q}", number(ks.d), ks.law));
            }
        }
    }
    if let Some(w1) = column.wasserstein {
        for (name, w1, scale) in [
            ("Wasserstein-1, raw values", w1.exact, w1.scale),
            ("Wasserstein-1, stored bins", Some(w1.binned), w1.scale),
        ] {
            if let Some(w1) = w1 {
                line(name, format!("{}; {} × {scale}", number(w1.value), number(w1.scaled)));
            }
        }
    }
    if let Some(of) = column.distances {
        let text = format!(
            "Jensen-Shannon {}, Hellinger {}, total variation {}, largest bin {}; new {}, vanished {}",
            number(of.jensen_shannon),
            number(of.hellinger),
            number(of.total_variation),
            number(of.l_infinity),
            number(of.new_share),
            number(of.vanished_share)
        );
        line("Distances", text);
    }
    let chunks = match column.phi_chunks {
        0 => "not known".to_owned(),
        chunks => format!("from {chunks} chunks of the reference"),
    };
    line("Over-dispersion φ", format!("{}, {chunks}", number(column.phi)));
    for (name, side) in [("Reference", &column.reference), ("Current", &column.current)] {
        if let Some(side) = side {
            line(name, described(side));
        }
    }
    out.push_str("</tbody>\n</table>\n");
}

fn described(side: &Side) -> String {
    let mut text = format!("{} rows, {} null", grouped(side.n), grouped(side.nulls));
    for (count, what) in
        [(side.infinite, "infinite"), (side.new, "new"), (side.other, "of rare values")]
    {
        if count > 0 {
            put!(text, ", {} {what}", grouped(count));
        }
    }
    if let Some(of) = side.moments {
        put!(
            text,
            "; {} to {}, quartiles {} {} {}, mean {}, standard deviation {}",
            number(of.min),
            number(of.max),
            number(of.q25),
            number(of.median),
            number(of.q75),
            number(of.mean),
            number(of.std)
        );
    }
    text
}

fn bins(out: &mut String, column: &ColumnReport) {
    out.push_str(
        "<table>\n<caption>Shares as drawn</caption>\n<thead><tr><th scope=\"col\">Bin</th>\
         <th scope=\"col\" class=\"n\">Reference</th><th scope=\"col\" class=\"n\">Current</th>\
         </tr></thead>\n<tbody>\n",
    );
    for bar in &column.histogram {
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{:.2} %</td><td class=\"n\">{:.2} %</td></tr>\n",
            escape(&bar.label),
            bar.reference * 100.0,
            bar.current * 100.0
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

fn left_out(out: &mut String, report: &Report) {
    let skipped: Vec<&ColumnReport> = report
        .columns
        .iter()
        .filter(|column| matches!(column.verdict, Verdict::NotCompared | Verdict::New))
        .collect();
    if skipped.is_empty() {
        return;
    }
    out.push_str("<h2>Not compared</h2>\n<dl>\n");
    for column in skipped {
        let (name, reason) = (escape(&column.name), escape(&column.reason));
        put!(
            out,
            "<dt>{name} <small>{}</small></dt><dd>{reason}</dd>\n",
            escape(&column.type_name)
        );
    }
    out.push_str("</dl>\n");
}

/// 1234567 as 1,234,567.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
