//! `tidegate model check|init|show`: what a package holds, and whether it may serve.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use infer::{Package, Runtime};

use crate::cli::{ModelCheckArgs, ModelCommand, ModelInitArgs, ModelShowArgs};
use crate::exit::{self, Exit};

/// Golden rows read at most: thousands prove as much as millions.
const MAX_GOLDEN_ROWS: u64 = 1_000_000;

pub(crate) fn run(command: &ModelCommand) -> anyhow::Result<Exit> {
    match command {
        ModelCommand::Check(args) => check(args),
        ModelCommand::Init(args) => init(args),
        ModelCommand::Show(args) => show(args),
    }
}

fn check(args: &ModelCheckArgs) -> anyhow::Result<Exit> {
    let contract = super::read_contract(&args.contract)?;
    let package = open(&args.dir)?;
    let runtime = Runtime::find()?;
    let golden = golden_rows(&package.golden_path())?;
    let report = package.check(&runtime, &contract, golden.as_ref());
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(if report.passed() { Exit::Fine } else { Exit::Failed })
}

/// A folder that is no package is a mistake of whoever named it.
fn open(dir: &Path) -> anyhow::Result<Package> {
    Package::open(dir).map_err(|error| exit::usage(error.to_string()))
}

fn golden_rows(path: &Path) -> anyhow::Result<Option<RecordBatch>> {
    if !path.exists() {
        return Ok(None);
    }
    let rows = batch::parquet_io::ParquetRows::open(path, 8192)?;
    anyhow::ensure!(
        rows.rows() <= MAX_GOLDEN_ROWS,
        "{} has {} rows: at most {MAX_GOLDEN_ROWS} are read, a few thousand prove as much",
        path.display(),
        rows.rows()
    );
    let schema = rows.schema().clone();
    let batches = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(concat_batches(&schema, &batches)?))
}

fn init(args: &ModelInitArgs) -> anyhow::Result<Exit> {
    let here = Path::new("contract.toml");
    let file = args.contract.as_deref().or_else(|| here.exists().then_some(here));
    let contract = file.map(super::read_contract).transpose()?;
    let descriptor = infer::init(&args.model, contract.as_ref())?;
    let to = args.model.with_file_name("model.toml");
    anyhow::ensure!(
        args.force || !to.exists(),
        "{} exists already; --force writes it anew",
        to.display()
    );
    std::fs::write(&to, descriptor.to_toml())
        .with_context(|| format!("writing {}", to.display()))?;
    let mut out = std::io::stdout().lock();
    let features = match file {
        Some(file) => format!("features by {}", file.display()),
        None => "no contract to take features from, see --contract".to_owned(),
    };
    writeln!(
        out,
        "wrote {} ({features}): fill in what is empty, then `tidegate model check`",
        to.display()
    )?;
    Ok(Exit::Fine)
}

fn show(args: &ModelShowArgs) -> anyhow::Result<Exit> {
    let package = open(&args.dir)?;
    let report = package.describe();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "{report}")?;
        write!(out, "\n{}", package.descriptor().to_toml())?;
    }
    Ok(Exit::Fine)
}
