//! Reference against current as bars: upright for numbers, lying for categories.
//!
//! The two sides differ in width and outline, not in colour alone; each bar says its numbers on hover.

use std::fmt::Write as _;

use super::escape;
use crate::report::bars::Bar;
use crate::report::column::ColumnReport;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 190.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;
const SIDE: f64 = 12.0;
/// Height of a category's line, and where its bars begin.
const LINE: f64 = 24.0;
const NAMES: f64 = 190.0;
/// Characters of a category that fit before the bars.
const NAME_CHARS: usize = 26;

/// The drawing of a column's bars.
pub(super) fn figure(out: &mut String, column: &ColumnReport) {
    let bars = &column.histogram;
    let most = bars.iter().flat_map(|bar| [bar.reference, bar.current]).fold(0.0, f64::max);
    // Without a filled bar nothing would be drawn to scale.
    let most = if most > 0.0 { most } else { 1.0 };
    let name = escape(&column.name);
    out.push_str("<figure>\n");
    let label = format!("Shares of {name}: reference against current");
    if column.kind == "numeric" {
        upright(out, bars, most, &label);
    } else {
        lying(out, bars, most, &label);
    }
    out.push_str(
        "<figcaption><span class=\"key reference\"></span>reference \
         <span class=\"key current\"></span>current · shares of all rows</figcaption>\n</figure>\n",
    );
}

fn open(out: &mut String, height: f64, label: &str) {
    let _ =
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">");
}

fn upright(out: &mut String, bars: &[Bar], most: f64, label: &str) {
    open(out, HEIGHT, label);
    let floor = HEIGHT - BOTTOM;
    let room = floor - TOP;
    let step = (WIDTH - 2.0 * SIDE) / bars.len() as f64;
    for (place, bar) in bars.iter().enumerate() {
        let x = SIDE + place as f64 * step;
        let _ = write!(out, "<g><title>{}</title>", hover(bar));
        for (class, share, inset) in [("r", bar.reference, 0.06), ("c", bar.current, 0.3)] {
            let height = share / most * room;
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                x + step * inset,
                floor - height,
                step * (1.0 - 2.0 * inset)
            );
        }
        out.push_str("</g>\n");
    }
    let _ = writeln!(
        out,
        "<line class=\"axis\" x1=\"{SIDE}\" x2=\"{}\" y1=\"{floor}\" y2=\"{floor}\"/>",
        WIDTH - SIDE
    );
    for (place, anchor, x) in ticks(bars.len(), step) {
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            HEIGHT - 8.0,
            escape(&bars[place].label)
        );
    }
    let _ = writeln!(out, "<text x=\"{SIDE}\" y=\"15\">{:.1} %</text>\n</svg>", most * 100.0);
}

/// Which bars are labelled: as many as there is room for, evenly.
fn ticks(bars: usize, step: f64) -> Vec<(usize, &'static str, f64)> {
    let wanted = bars.min(5);
    if wanted < 2 {
        return vec![(0, "middle", SIDE + step / 2.0)];
    }
    let tick = |k: usize| {
        let place = k * (bars - 1) / (wanted - 1);
        let x = SIDE + place as f64 * step;
        match k {
            0 => (place, "start", x),
            k if k == wanted - 1 => (place, "end", x + step),
            _ => (place, "middle", x + step / 2.0),
        }
    };
    (0..wanted).map(tick).collect()
}

fn lying(out: &mut String, bars: &[Bar], most: f64, label: &str) {
    open(out, bars.len() as f64 * LINE + 12.0, label);
    let room = WIDTH - NAMES - SIDE - 60.0;
    for (place, bar) in bars.iter().enumerate() {
        let y = 6.0 + place as f64 * LINE;
        let _ = write!(
            out,
            "<g><title>{}</title><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            hover(bar),
            NAMES - 8.0,
            y + 16.0,
            escape(&cut(&bar.label))
        );
        for (class, share, top, height) in
            [("r", bar.reference, 2.0, 20.0), ("c", bar.current, 7.0, 10.0)]
        {
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height}\"/>",
                y + top,
                share / most * room
            );
        }
        let end = NAMES + bar.reference.max(bar.current) / most * room;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{:.1} %</text></g>",
            end + 6.0,
            y + 16.0,
            bar.current * 100.0
        );
    }
    out.push_str("</svg>\n");
}

fn hover(bar: &Bar) -> String {
    let (reference, current) = (bar.reference * 100.0, bar.current * 100.0);
    format!("{}: reference {reference:.2} %, current {current:.2} %", escape(&bar.label))
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS - 1).chain(['…']).collect()
}
