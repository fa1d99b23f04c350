//! Arguments of the commands that compare distributions: `baseline` and `drift`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is read of the files, and as what.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Compare these columns only, key, instants and Tidegate's own included; all others are compared
    /// unless left out for a stated reason
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Event contract: types of text files, categories, roles; what is sensitive is never counted, or
    /// only as hashes
    #[arg(long, value_name = "FILE")]
    pub(crate) contract: Option<PathBuf>,
    /// Secret salt of the contract's hashed fields, as the pipeline has it; only where the files hold
    /// them in the clear
    #[arg(long, value_name = "FILE")]
    pub(crate) salt_file: Option<PathBuf>,
    /// Most memory for values; columns are read in as many passes as that takes
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Fit a profile of training data, or of a stretch of the archive
    Fit(BaselineFitArgs),
    /// Print what a profile holds
    Show(BaselineShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BaselineFitArgs {
    /// Parquet, CSV or JSON lines: files, folders (the archive's too) or patterns; one format
    #[arg(required = true)]
    pub(crate) input: Vec<PathBuf>,
    /// The profile
    #[arg(short, long, value_name = "FILE", default_value = "reference.parquet")]
    pub(crate) output: PathBuf,
    /// Replace an existing profile
    #[arg(long)]
    pub(crate) force: bool,
    /// Only rows for which this SQL condition holds
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) predicate: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Stored quantile bins of a numeric column, 256 to 1024; frequent values get one of their own
    #[arg(long, default_value_t = monitor::profile::DEFAULT_BINS, value_parser = bins)]
    pub(crate) bins: usize,
    /// Consecutive rows that over-dispersion is learned from, best as many as a window will have; a
    /// twentieth of the rows when left out
    #[arg(long, value_name = "ROWS")]
    pub(crate) chunk_rows: Option<u64>,
    /// Print the profile as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BaselineShowArgs {
    /// A file that `baseline fit` wrote
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A column has drifted when the effect is large enough (PSI without its bias, \
or D) and the q-value of that test is small enough; the p-values behind it are deflated by φ, how much \
more the reference varies between its own twenty chunks than independent rows would. A column that the \
current rows lack counts as drifted. Exit codes: 0 compared · 1 failed · 2 usage · 7 with \
--fail-on-drift, when a column drifted or is missing"
)]
pub(crate) struct DriftArgs {
    /// What to compare with: a file, a folder, a pattern, or a profile of `baseline fit`
    pub(crate) reference: PathBuf,
    /// What to compare: a file, a folder or a pattern
    pub(crate) current: PathBuf,
    /// Only current rows for which this SQL condition holds
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) predicate: Option<String>,
    /// Only rows of the reference for which this SQL condition holds
    #[arg(long, value_name = "SQL")]
    pub(crate) reference_where: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Largest q-value (Benjamini-Hochberg over the columns) that counts as significant
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    pub(crate) alpha: f64,
    /// Smallest PSI, its bias taken off, that counts as an effect
    #[arg(long, value_name = "PSI", default_value_t = 0.1, value_parser = positive)]
    pub(crate) psi_threshold: f64,
    /// Smallest Kolmogorov-Smirnov distance that counts as an effect
    #[arg(long, value_name = "D", default_value_t = 0.1, value_parser = share)]
    pub(crate) ks_threshold: f64,
    /// Take rows as independent: for files that are sorted by a column, where chunks mean nothing
    #[arg(long)]
    pub(crate) independent: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with histograms, complete in itself
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// End with exit code 7 when a column drifted or is missing
    #[arg(long)]
    pub(crate) fail_on_drift: bool,
}

fn bins(text: &str) -> Result<usize, String> {
    let (least, most) = (monitor::profile::MIN_BINS, monitor::stats::MAX_BINS);
    let bins = text.parse().ok().filter(|bins| (least..=most).contains(bins));
    bins.ok_or_else(|| format!("a number from {least} to {most} is wanted"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a number above 0 and at most 1 is wanted".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| *value > 0.0 && value.is_finite());
    value.ok_or_else(|| "a number above 0 is wanted".to_owned())
}
