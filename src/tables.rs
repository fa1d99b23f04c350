//! Columns of files on their way to statistics: as many at a time as the memory allows.
//!
//! Exact, not sketched: a pass holds the values of some columns in their order, and sorts them. Files
//! are read once for each pass, and once before to count the rows.

mod compare;
mod fit;
mod parallel;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use batch::rows::{Rows, RowsConfig};
use monitor::columns::{Hashing, Planned, Treatment, Wishes, plan};
use schemas::Contract;

use crate::cli::DataArgs;
use crate::exit;
use crate::progress::Progress;

pub(crate) use compare::{Reference, against};
pub(crate) use fit::fit;

/// A value in order and sorted, 8 bytes each. Sorting takes as much again, of one column a thread.
const NUMBER_BYTES: u64 = 16;
/// A category's row; the distinct values come on top, within their own limit.
const CATEGORY_BYTES: u64 = 8;

/// What was said about the data, resolved.
pub(crate) struct Reading {
    pub(crate) columns: Vec<String>,
    pub(crate) contract: Option<Contract>,
    pub(crate) salt: Vec<u8>,
    pub(crate) memory_bytes: u64,
    pub(crate) threads: usize,
    /// Whether progress is shown.
    pub(crate) shown: bool,
}

impl Reading {
    pub(crate) fn new(args: &DataArgs) -> anyhow::Result<Self> {
        let salt = match &args.salt_file {
            None => Vec::new(),
            Some(file) => {
                let salt = std::fs::read_to_string(file)
                    .with_context(|| format!("reading the salt {}", file.display()))?;
                salt.trim_end_matches(['\r', '\n']).as_bytes().to_vec()
            }
        };
        Ok(Self {
            columns: args.columns.clone(),
            contract: args.contract.as_deref().map(crate::commands::read_contract).transpose()?,
            salt,
            memory_bytes: args.memory.saturating_mul(1 << 20),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            shown: true,
        })
    }

    fn contract(&self) -> Option<&Contract> {
        self.contract.as_ref()
    }
}

/// Opened files whose rows are counted and whose columns are planned.
pub(crate) struct Input {
    rows: Rows,
    count: u64,
    plan: Vec<Planned>,
}

impl Input {
    /// Opens `paths`; `columns` are the wished ones, all when empty.
    pub(crate) fn open(
        paths: &[PathBuf],
        predicate: Option<&str>,
        reading: &Reading,
        columns: &[String],
    ) -> anyhow::Result<Self> {
        let (rows, plan) = planned(paths, predicate, reading, columns)?;
        let count = rows.count().with_context(|| reads(&rows))?;
        Ok(Self { rows, count, plan })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// A column's type.
    fn type_of(&self, column: &str) -> Option<&DataType> {
        self.rows.schema().field_with_name(column).ok().map(Field::data_type)
    }

    /// Reads these columns from the first row to the last.
    fn each(
        &self,
        columns: &[&str],
        progress: &mut Progress,
        mut take: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut seen = 0;
        for batch in self.rows.read(columns)? {
            let batch = batch.with_context(|| reads(&self.rows))?;
            seen += batch.num_rows() as u64;
            anyhow::ensure!(
                seen <= self.count,
                "the files grew while they were read; compare what is no longer written to"
            );
            take(&batch)?;
            progress.add(batch.num_rows() as u64);
        }
        anyhow::ensure!(
            seen == self.count,
            "{seen} rows where {} were counted: the files changed while they were read",
            self.count
        );
        Ok(())
    }
}

/// Finds out whether `paths` can be compared with this condition, without reading all of them.
pub(crate) fn check(
    paths: &[PathBuf],
    predicate: Option<&str>,
    reading: &Reading,
) -> anyhow::Result<()> {
    planned(paths, predicate, reading, &[]).map(drop)
}

fn planned(
    paths: &[PathBuf],
    predicate: Option<&str>,
    reading: &Reading,
    columns: &[String],
) -> anyhow::Result<(Rows, Vec<Planned>)> {
    let config = RowsConfig {
        inputs: paths.to_vec(),
        predicate: predicate.map(str::to_owned),
        declared: declared(reading.contract()),
    };
    let rows = Rows::open(&config)?;
    let wishes = Wishes { contract: reading.contract(), columns };
    let plan = plan(rows.schema(), wishes).map_err(|error| exit::usage(error.to_string()))?;
    Ok((rows, plan))
}

fn reads(rows: &Rows) -> String {
    match rows.files() {
        [one] => format!("reading {}", one.display()),
        files => {
            let first = files.first().map(|file| file.display().to_string()).unwrap_or_default();
            format!("reading {} files from {first} on", files.len())
        }
    }
}

/// Types that the contract gives to columns of text files.
fn declared(contract: Option<&Contract>) -> Vec<Field> {
    contract.map_or_else(Vec::new, |contract| {
        contract.fields().iter().map(schemas::Field::arrow_field).collect()
    })
}

/// A hashed field in the clear needs the pipeline's salt, or its hashes would be others.
fn check_salt(plan: &[Planned], salt: &[u8]) -> anyhow::Result<()> {
    let wanting = plan
        .iter()
        .find(|column| matches!(column.treatment, Treatment::Categorical(Hashing::Wanted(_))));
    match wanting {
        Some(column) if salt.is_empty() => {
            let message = format!(
                "column {:?} is sensitive = \"hash\" and the files hold it in the clear: name the \
                 pipeline's salt with --salt-file, or leave the column out with --columns",
                column.name
            );
            Err(exit::usage(message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Columns of `plan` in passes that fit into the memory, `rows` held of each.
fn passes(plan: &[Planned], rows: u64, memory_bytes: u64) -> anyhow::Result<Vec<Vec<usize>>> {
    let mut passes: Vec<Vec<usize>> = Vec::new();
    let mut left = 0;
    for (place, column) in plan.iter().enumerate() {
        let bytes = match column.treatment {
            Treatment::Numeric => rows * NUMBER_BYTES,
            Treatment::Categorical(_) => rows * CATEGORY_BYTES,
            Treatment::LeftOut(_) | Treatment::Dropped => continue,
        };
        if bytes > memory_bytes {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            let message = format!(
                "column {:?} has {rows} rows, which take {} MiB, and --memory is {}: raise it, or \
                 take fewer rows with --where",
                column.name,
                mib(bytes),
                mib(memory_bytes)
            );
            return Err(exit::usage(message));
        }
        match passes.last_mut() {
            Some(pass) if bytes <= left => pass.push(place),
            Some(_) | None => {
                passes.push(vec![place]);
                left = memory_bytes;
            }
        }
        left -= bytes;
    }
    Ok(passes)
}

/// A path as the user wrote it.
pub(crate) fn said(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_passes_as_memory_allows() {
        let column =
            |name: &str, treatment| Planned { name: name.into(), type_name: "x".into(), treatment };
        let plan = [
            column("a", Treatment::Numeric),
            column("b", Treatment::LeftOut("why".into())),
            column("c", Treatment::Categorical(Hashing::No)),
            column("d", Treatment::Numeric),
        ];
        assert_eq!(passes(&plan, 10, 400).unwrap(), [vec![0, 2, 3]]);
        assert_eq!(passes(&plan, 10, 240).unwrap(), [vec![0, 2], vec![3]]);
        assert_eq!(passes(&plan, 10, 160).unwrap(), [vec![0], vec![2], vec![3]]);
        let error = passes(&plan, 10, 159).unwrap_err().to_string();
        assert!(error.contains("\"a\" has 10 rows"), "{error}");
    }
}
