//! `tidegate baseline fit|show`: a reference as a few hundred numbers a column.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use batch::parquet_io::{NewParquet, ParquetRows};
use monitor::profile::{FitOptions, Profile, show};

use crate::cli::{BaselineCommand, BaselineFitArgs, BaselineShowArgs};
use crate::exit::{self, Exit};
use crate::tables::{Input, Reading, fit};

/// Columns of a profile read at a time.
const BATCH_COLUMNS: usize = 1024;

pub(crate) fn run(command: &BaselineCommand) -> anyhow::Result<Exit> {
    match command {
        BaselineCommand::Fit(args) => fit_and_write(args),
        BaselineCommand::Show(args) => print(args),
    }
}

fn fit_and_write(args: &BaselineFitArgs) -> anyhow::Result<Exit> {
    let to = &args.output;
    // Said before an hour of reading, not after it.
    if to.exists() && !args.force {
        let message = format!("{} exists already; --force writes it anew", to.display());
        return Err(exit::usage(message));
    }
    let reading = Reading::new(&args.data)?;
    let input = Input::open(&args.input, args.predicate.as_deref(), &reading, &reading.columns)?;
    anyhow::ensure!(input.count() > 0, "there are no rows to fit; see the inputs and --where");
    let options = FitOptions { bins: args.bins, chunk_rows: args.chunk_rows };
    let profile = fit(&input, &reading, options)?;
    write(&profile, to)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&show::json(&profile))?)?;
    } else {
        write!(out, "{}\nwrote {}\n", show::text(&profile), to.display())?;
    }
    Ok(Exit::Fine)
}

fn write(profile: &Profile, to: &Path) -> anyhow::Result<()> {
    let table = profile.to_table();
    // Written whole beside the old one, which is there until then.
    let beside = to.with_extension(format!("{}.new", std::process::id()));
    let mut file = NewParquet::create(&beside, &Arc::clone(table.schema_ref()))?;
    file.write(&table)?;
    file.publish()?;
    std::fs::rename(&beside, to).with_context(|| format!("naming {}", to.display()))
}

fn print(args: &BaselineShowArgs) -> anyhow::Result<Exit> {
    let rows = ParquetRows::open(&args.file, BATCH_COLUMNS)?;
    let profile = read(rows).with_context(|| args.file.display().to_string())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&show::json(&profile))?)?;
    } else {
        write!(out, "{}", show::text(&profile))?;
    }
    Ok(Exit::Fine)
}

/// The profile in a file; `None` when the file is a table of something else.
pub(crate) fn find(path: &Path) -> anyhow::Result<Option<Profile>> {
    if !crate::events::is_parquet(path) || !path.is_file() {
        return Ok(None);
    }
    let rows = ParquetRows::open(path, BATCH_COLUMNS)?;
    if !Profile::is_one(rows.schema()) {
        return Ok(None);
    }
    read(rows).with_context(|| path.display().to_string()).map(Some)
}

fn read(rows: ParquetRows) -> anyhow::Result<Profile> {
    let schema = rows.schema().clone();
    let batches = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(Profile::from_table(&schema, &batches)?)
}
