//! A row of the reports: one column of one group in one window, against one reference.

use serde::Serialize;

use crate::count::Group;
pub use crate::policy::Reference;
use crate::report::{ColumnReport, Verdict};

/// What follows for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An effect, and significant.
    Drift,
    /// The files of the window have no such column, or as another kind.
    Missing,
    /// Too few rows to say.
    TooFewRows,
    /// Nothing that counts.
    Stable,
    /// There is nothing to compare with.
    NotCompared,
    /// The previous window had rows and this one has none.
    NoData,
    /// Far fewer rows than in the previous window.
    VolumeLow,
    /// Far more rows than in the previous window.
    VolumeHigh,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Drift,
        Self::Missing,
        Self::TooFewRows,
        Self::Stable,
        Self::NotCompared,
        Self::NoData,
        Self::VolumeLow,
        Self::VolumeHigh,
    ];

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The word for it in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::TooFewRows => "too_few_rows",
            Self::Stable => "stable",
            Self::NotCompared => "not_compared",
            Self::NoData => "no_data",
            Self::VolumeLow => "volume_low",
            Self::VolumeHigh => "volume_high",
        }
    }

    pub(super) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Drift => Self::Drift,
            Verdict::Missing => Self::Missing,
            Verdict::TooFewRows => Self::TooFewRows,
            Verdict::Stable => Self::Stable,
            Verdict::New | Verdict::NotCompared => Self::NotCompared,
        }
    }
}

/// See the module. Shares are of the window's rows; what could not be computed is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportRow {
    /// Number of the window.
    pub window: i64,
    /// Its start in microseconds.
    pub start_us: i64,
    /// Its end in microseconds.
    pub end_us: i64,
    /// Whose rows.
    #[serde(flatten)]
    pub group: GroupNames,
    /// What it is compared with.
    pub reference: Reference,
    /// Id of the profile that gave the bins.
    pub profile: String,
    /// The column; none for the group's rows as a whole.
    pub column: Option<String>,
    /// What follows.
    pub state: State,
    /// Why.
    pub reason: String,
    /// Rows of the window.
    pub n: u64,
    /// Rows of the reference.
    pub reference_n: u64,
    /// Over-dispersion that p of chi-square and PSI are deflated by; those of D and of nulls stand in the profile.
    pub phi: Option<f64>,
    /// Statistics; see [`ColumnReport`].
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Share of nulls.
    pub null_share: Option<f64>,
    /// The reference's.
    pub reference_null_share: Option<f64>,
    /// The chance of a rise of nulls like this; beside the profile with its φ of nulls taken off.
    pub null_p: Option<f64>,
    /// Share of rows with a new category.
    pub new_share: Option<f64>,
    /// Share of rows outside of the documented range.
    pub out_of_range_share: Option<f64>,
    /// Mean of the finite values.
    pub mean: Option<f64>,
    /// Smallest finite value.
    pub min: Option<f64>,
    /// Largest finite value.
    pub max: Option<f64>,
}

/// A [`Group`] as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct GroupNames {
    /// The model.
    pub model_name: Option<String>,
    /// Its version.
    pub model_version: Option<String>,
    /// The arm.
    pub arm: Option<String>,
    /// A segment column.
    pub segment: Option<String>,
    /// Its value.
    pub segment_value: Option<String>,
}

impl From<&Group> for GroupNames {
    fn from(group: &Group) -> Self {
        let (segment, segment_value) = group.segment.clone().unzip();
        let Group { model, version, arm, .. } = group.clone();
        Self { model_name: model, model_version: version, arm, segment, segment_value }
    }
}

/// How far a column is from its reference.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Statistics {
    /// PSI as computed.
    pub psi: Option<f64>,
    /// What it is on average without drift.
    pub psi_bias: Option<f64>,
    /// `psi` less `psi_bias`: what the threshold is held against.
    pub psi_corrected: Option<f64>,
    /// Chi-square of the same bins.
    pub chi_square: Option<f64>,
    /// Its p-value, φ taken off.
    pub p: Option<f64>,
    /// After Benjamini-Hochberg over the columns.
    pub q: Option<f64>,
    /// Cramér's V.
    pub cramers_v: Option<f64>,
    /// Kolmogorov-Smirnov distance through the stored bins.
    pub ks_d: Option<f64>,
    /// Its p-value, φ taken off.
    pub ks_p: Option<f64>,
    /// After Benjamini-Hochberg over the columns.
    pub ks_q: Option<f64>,
    /// Jensen-Shannon distance, base 2.
    pub jensen_shannon: Option<f64>,
    /// Wasserstein-1 in units of the reference's spread.
    pub wasserstein: Option<f64>,
}

impl Statistics {
    pub(super) fn of(report: &ColumnReport) -> Self {
        let (psi, chi, ks) = (report.psi, report.chi_square, report.best_ks());
        Self {
            psi: psi.map(|psi| psi.value),
            psi_bias: psi.map(|psi| psi.bias),
            psi_corrected: psi.map(|psi| psi.corrected),
            chi_square: chi.map(|chi| chi.value),
            p: chi.map(|chi| chi.p),
            q: chi.map(|chi| chi.q),
            cramers_v: chi.map(|chi| chi.cramers_v),
            ks_d: ks.map(|ks| ks.d),
            ks_p: ks.map(|ks| ks.p),
            ks_q: ks.map(|ks| ks.q),
            jensen_shannon: report.distances.map(|distances| distances.jensen_shannon),
            wasserstein: report.best_wasserstein(),
        }
    }
}
