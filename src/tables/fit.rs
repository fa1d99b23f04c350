//! Files to a profile.

use monitor::columns::{Gathered, Planned};
use monitor::profile::{ColumnProfile, FitOptions, Profile, fit as fit_column};
use monitor::stats::Sample;

use super::{Input, Reading, check_salt, parallel, passes};
use crate::progress::Progress;

/// Fits every planned column.
pub(crate) fn fit(
    input: &Input,
    reading: &Reading,
    options: FitOptions,
) -> anyhow::Result<Profile> {
    check_salt(&input.plan, &reading.salt)?;
    let passes = passes(&input.plan, input.count, reading.memory_bytes)?;
    let mut fitted: Vec<Option<ColumnProfile>> = input.plan.iter().map(|_| None).collect();
    let total = input.count * passes.len() as u64;
    let mut progress = Progress::start_if(reading.shown, "rows", Some(total));
    for pass in passes {
        let columns = fit_pass(input, reading, &pass, options, &mut progress)?;
        for (place, (column, _)) in pass.into_iter().zip(columns) {
            fitted[place] = Some(column);
        }
    }
    progress.finish();
    let columns = fitted.into_iter().zip(&input.plan);
    let columns = columns
        .map(|(column, planned)| column.unwrap_or_else(|| left_out(planned, input.count, options)))
        .collect();
    Ok(Profile { rows: input.count, columns })
}

/// One pass: the columns at these places of the plan, with their sorted values.
pub(super) fn fit_pass(
    input: &Input,
    reading: &Reading,
    pass: &[usize],
    options: FitOptions,
    progress: &mut Progress,
) -> anyhow::Result<Vec<(ColumnProfile, Option<Sample>)>> {
    let planned: Vec<&Planned> = pass.iter().map(|place| &input.plan[*place]).collect();
    let names: Vec<&str> = planned.iter().map(|column| column.name.as_str()).collect();
    let mut gathered: Vec<Option<Gathered>> =
        planned.iter().map(|column| Gathered::new(&column.treatment, input.count)).collect();
    input.each(&names, progress, |batch| {
        for ((values, column), planned) in gathered.iter_mut().zip(batch.columns()).zip(&planned) {
            if let Some(values) = values {
                values.push(column, &planned.treatment, &reading.salt)?;
            }
        }
        Ok(())
    })?;
    let columns: Vec<(&Planned, Option<Gathered>)> = planned.into_iter().zip(gathered).collect();
    Ok(parallel::map(reading.threads, columns, |(planned, values)| {
        fit_column(planned, values.as_ref(), input.count, options)
    }))
}

/// The profile of a column that is not read.
pub(super) fn left_out(planned: &Planned, rows: u64, options: FitOptions) -> ColumnProfile {
    fit_column(planned, None, rows, options).0
}
