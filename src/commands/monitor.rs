//! `tidegate monitor count|evaluate`: hop 3 over what is archived so far.

use std::io::Write as _;
use std::time::Instant;

use monitor::evaluate::{Finding, Watched};
use monitor::report::Table;
use monitor::window::{CountedRows, Lagging, late_rows};
use serde::Serialize;
use serde_json::json;

use crate::cli::{MonitorArgs, MonitorCommand};
use crate::exit::{self, Exit};
use crate::monitoring::{self, clock, count, instant, reports, threads, watched};
use crate::pipeline::Pipeline;
use crate::progress::Progress;

pub(crate) fn run(command: &MonitorCommand) -> anyhow::Result<Exit> {
    match command {
        MonitorCommand::Count(args) => {
            let pipeline = open(args)?;
            let (_, totals) = counted(&pipeline)?;
            let mut out = std::io::stdout().lock();
            if args.json {
                writeln!(
                    out,
                    "{}",
                    serde_json::to_string_pretty(&json!({ "references": totals }))?
                )?;
            } else {
                totals.iter().try_for_each(|total| write!(out, "{}", total.text()))?;
            }
        }
        MonitorCommand::Evaluate(args) => judge(args)?,
    }
    Ok(Exit::Fine)
}

fn open(args: &MonitorArgs) -> anyhow::Result<Pipeline> {
    Pipeline::open(super::resolve(&args.config)?)
}

/// What lies counted under one reference, and what of it this call added.
#[derive(Serialize)]
struct Total {
    profile: String,
    folder: String,
    files: usize,
    rows: u64,
    new_files: usize,
    new_rows: u64,
    late_rows: u64,
    early: u64,
    ahead: u64,
    untimed: u64,
    seconds: f64,
    not_counted: Vec<monitor::count::Skipped>,
}

impl Total {
    fn text(&self) -> String {
        let mut text = format!(
            "profile {}: {} files with {} rows are counted, {} files with {} rows of them now, in {:.1} s\n",
            self.profile, self.files, self.rows, self.new_files, self.new_rows, self.seconds
        );
        for (rows, what) in [
            (self.late_rows, "came after their windows were judged"),
            (self.early, "have an event time too old to be believed"),
            (self.ahead, "have an event time ahead of their scoring"),
            (self.untimed, "have no time"),
        ] {
            if rows > 0 {
                text.push_str(&format!("  {rows} rows {what}\n"));
            }
        }
        for skipped in &self.not_counted {
            text.push_str(&format!("  {} is not counted: {}\n", skipped.name, skipped.reason));
        }
        text
    }
}

fn counted(pipeline: &Pipeline) -> anyhow::Result<(Vec<Watched>, Vec<Total>)> {
    let mut watched = watched(pipeline)?;
    if watched.is_empty() {
        let message = format!(
            "there is no reference to count with: fit one with `tidegate baseline fit TRAINING -o \
             {}/reference.parquet`, or name one in monitor.reference",
            pipeline.package.folder().display()
        );
        return Err(exit::usage(message));
    }
    let clock = clock(&pipeline.config)?;
    let reports = reports(&pipeline.config)?;
    let judged = reports.position().map(|window| clock.windows.extent(window).start);
    let mut totals = Vec::new();
    for one in &mut watched {
        let (started, threads) = (Instant::now(), threads(&pipeline.config));
        let progress = std::sync::Mutex::new(Progress::start("rows", None));
        let done = |counted: &monitor::count::Counted| {
            progress.lock().expect("nobody panics with it").add(counted.footer.source.rows);
        };
        let new = count(&mut one.counter, threads, &done)?;
        progress.into_inner().expect("nobody panics with it").finish();
        let counted = || one.counter.counted();
        // Of whatever process counted them: one that was killed told nothing.
        let late = judged.map(|judged| late_rows(counted(), reports.counted(), judged));
        let settings = one.counter.settings();
        let all = CountedRows::of(counted());
        totals.push(Total {
            profile: settings.profile_id.clone(),
            folder: one.counter.folder().display().to_string(),
            files: counted().count(),
            rows: all.rows,
            new_files: new.len(),
            new_rows: new.iter().map(|counted| counted.footer.source.rows).sum(),
            late_rows: late.transpose()?.unwrap_or(0),
            early: all.early,
            ahead: all.ahead,
            untimed: all.untimed,
            seconds: started.elapsed().as_secs_f64(),
            not_counted: settings.skipped.clone(),
        });
    }
    Ok((watched, totals))
}

fn judge(args: &MonitorArgs) -> anyhow::Result<()> {
    let pipeline = open(args)?;
    let config = &pipeline.config;
    let (watched, totals) = counted(&pipeline)?;
    let (clock, rules) = (clock(config)?, config.monitor.rules());
    let mut reports = reports(config)?;
    let (mut findings, mut windows, mut rows, mut watermark) = (Vec::new(), 0, 0, None);
    let lagging = Lagging::default();
    monitoring::judge(config, &watched, &mut reports, &lagging, |round| {
        windows += round.windows.end - round.windows.start;
        rows += round.rows.len();
        watermark = round.watermark.or(watermark);
        let all = round.rows.iter().flat_map(|row| row.findings(rules));
        findings.extend(all.filter(|finding| finding.crossed));
        Ok(true)
    })?;
    let (mut measured, mut folder) = (0, None);
    if let Some(mut outcomes) = crate::labels::outcomes(&pipeline)? {
        crate::labels::look(&mut outcomes, &reports, &lagging, |outcome| {
            measured += outcome.rows.len();
            Ok(true)
        })?;
        folder = Some(outcomes.folder().display().to_string());
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let judged = json!({
            "performance": folder.map(|folder| json!({ "rows": measured, "folder": folder })),
            "references": totals,
            "watermark": watermark.map(instant),
            "windows": windows,
            "rows": rows,
            "reports": reports.folder().display().to_string(),
            "clock": clock,
            "rules": rules,
            "findings": findings,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&judged)?)?;
        return Ok(());
    }
    totals.iter().try_for_each(|total| write!(out, "{}", total.text()))?;
    let upto = watermark.map_or_else(|| "nothing yet".to_owned(), instant);
    writeln!(out, "event time is complete up to {upto}; {windows} windows were judged now")?;
    if !findings.is_empty() {
        write!(out, "{}", table(&findings))?;
    }
    writeln!(out, "{} findings; {rows} rows in {}", findings.len(), reports.folder().display())?;
    if let Some(folder) = folder {
        writeln!(out, "performance: {measured} rows in {folder}")?;
    }
    Ok(())
}

fn table(findings: &[Finding]) -> Table {
    let mut table =
        Table::new(&["<window", "<model", "<arm", "<segment", "<column", "<rule", "n", "<why"]);
    for finding in findings {
        let group = &finding.group;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let segment = match (&group.segment, &group.segment_value) {
            (Some(name), Some(value)) => format!("{name} = {value}"),
            _ => String::new(),
        };
        let rule = serde_json::to_value(finding.rule).expect("a rule has a name");
        table.row([
            instant(finding.start_us),
            format!("{} {}", text(&group.model_name), text(&group.model_version)),
            text(&group.arm),
            segment,
            text(&finding.column),
            rule.as_str().unwrap_or_default().to_owned(),
            finding.n.to_string(),
            finding.reason.clone(),
        ]);
    }
    table
}
