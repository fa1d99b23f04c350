//! `tidegate drift REFERENCE CURRENT`: one comparison, as a table, as JSON, as a page.

use std::io::Write as _;
use std::path::Path;
use std::slice;

use anyhow::Context as _;
use monitor::report::{Report, Rule, Source, html};

use super::baseline;
use crate::cli::DriftArgs;
use crate::exit::{self, Exit};
use crate::tables::{Input, Reading, Reference, against, said};

pub(crate) fn run(args: &DriftArgs) -> anyhow::Result<Exit> {
    let reading = Reading::new(&args.data)?;
    let (reference, of_reference) =
        reference(&args.reference, args.reference_where.as_deref(), &reading)?;
    let predicate = args.predicate.as_deref();
    let current = Input::open(slice::from_ref(&args.current), predicate, &reading, &[])?;
    let of_current = Source { name: said(&args.current), rows: current.count(), profile: None };
    let rule = Rule {
        alpha: args.alpha,
        psi_threshold: args.psi_threshold,
        ks_threshold: args.ks_threshold,
        independent: args.independent,
    };
    let columns = against(reference, &current, &reading, rule)?;
    let report = Report::new(of_reference, of_current, rule, columns);
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&report))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(if args.fail_on_drift && report.drift { Exit::Drift } else { Exit::Fine })
}

/// What to compare with: a profile, or the rows of files for which `predicate` holds.
pub(crate) fn reference(
    path: &Path,
    predicate: Option<&str>,
    reading: &Reading,
) -> anyhow::Result<(Reference, Source)> {
    let name = said(path);
    if let Some(profile) = baseline::find(path)? {
        if predicate.is_some() {
            let message = format!(
                "{name} is a profile: its rows are counted already, and \
                                   --reference-where has none to choose from"
            );
            return Err(exit::usage(message));
        }
        let source = Source { name, rows: profile.rows, profile: Some(profile.id()) };
        return Ok((Reference::Profile(profile), source));
    }
    let input = Input::open(&[path.to_path_buf()], predicate, reading, &reading.columns)?;
    let source = Source { name, rows: input.count(), profile: None };
    Ok((Reference::Rows(Box::new(input)), source))
}
