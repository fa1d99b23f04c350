//! A reference, as files or as a profile, against current files.

use anyhow::Context as _;
use arrow::array::RecordBatch;
use monitor::columns::{
    Hashing, PlanError, Planned, Treatment, is_number_like, is_text_like, numbers, texts,
};
use monitor::profile::{ColumnProfile, FitOptions, Moments, Profile, Shape};
use monitor::report::{
    ColumnReport, Counts, Current, Rule, compare, left_out, missing, new_column,
};
use monitor::stats::{CategoryCounts, Sample};

use super::{Input, Reading, check_salt, fit, parallel, passes};
use crate::exit;
use crate::progress::Progress;

/// What is compared with.
pub(crate) enum Reference {
    /// Raw rows: exact statistics beside the binned ones.
    Rows(Box<Input>),
    /// A fitted profile: binned ones only.
    Profile(Profile),
}

/// Compares every column; answers in the reference's order, new columns last.
pub(crate) fn against(
    reference: Reference,
    current: &Input,
    reading: &Reading,
    rule: Rule,
) -> anyhow::Result<Vec<ColumnReport>> {
    let mut reports = match reference {
        Reference::Rows(input) => rows(&input, current, reading, rule)?,
        Reference::Profile(profile) => profiled(profile, current, reading, rule)?,
    };
    for column in &current.plan {
        let known = reports.iter().any(|report| report.name == column.name);
        let counted = matches!(column.treatment, Treatment::Numeric | Treatment::Categorical(_));
        if reading.columns.is_empty() && !known && counted {
            reports.push(new_column(&column.name, &column.type_name));
        }
    }
    Ok(reports)
}

fn rows(
    input: &Input,
    current: &Input,
    reading: &Reading,
    rule: Rule,
) -> anyhow::Result<Vec<ColumnReport>> {
    check_salt(&input.plan, &reading.salt)?;
    let options = FitOptions::default();
    let passes = passes(&input.plan, input.count + current.count, reading.memory_bytes)?;
    let mut reports: Vec<Option<ColumnReport>> = input.plan.iter().map(|_| None).collect();
    let total = (input.count + current.count) * passes.len() as u64;
    let mut progress = Progress::start_if(reading.shown, "rows", Some(total));
    for pass in passes {
        let fitted = fit::fit_pass(input, reading, &pass, options, &mut progress)?;
        let compared = compare_pass(fitted, current, reading, rule, &mut progress)?;
        for (place, report) in pass.into_iter().zip(compared) {
            reports[place] = Some(report);
        }
    }
    progress.finish();
    let skipped = |planned: &Planned| missing(&fit::left_out(planned, input.count, options));
    let reports = reports.into_iter().zip(&input.plan);
    Ok(reports.map(|(report, planned)| report.unwrap_or_else(|| skipped(planned))).collect())
}

fn profiled(
    profile: Profile,
    current: &Input,
    reading: &Reading,
    rule: Rule,
) -> anyhow::Result<Vec<ColumnReport>> {
    let columns = wished(profile, &reading.columns)?;
    // The same memory rule as for files, with the treatments that the profile asks for.
    let planned: Vec<Planned> = columns
        .iter()
        .map(|column| Planned {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            treatment: match column.shape {
                Shape::Numeric(_) => Treatment::Numeric,
                Shape::Categorical(_) | Shape::LeftOut(_) => Treatment::Categorical(Hashing::No),
            },
        })
        .collect();
    let passes = passes(&planned, current.count, reading.memory_bytes)?;
    let total = current.count * passes.len() as u64;
    let mut progress = Progress::start_if(reading.shown, "rows", Some(total));
    let mut reports = Vec::new();
    let mut columns = columns.into_iter();
    // Nothing is left out of the plan above, so the passes take the columns in their order.
    for pass in passes {
        let columns = columns.by_ref().take(pass.len()).map(|column| (column, None)).collect();
        reports.extend(compare_pass(columns, current, reading, rule, &mut progress)?);
    }
    progress.finish();
    Ok(reports)
}

fn wished(profile: Profile, columns: &[String]) -> anyhow::Result<Vec<ColumnProfile>> {
    let unknown: Vec<String> =
        columns.iter().filter(|name| profile.column(name).is_none()).cloned().collect();
    if !unknown.is_empty() {
        let present = profile.columns.into_iter().map(|column| column.name).collect();
        let message = PlanError::Unknown { missing: unknown, present }.to_string();
        return Err(exit::usage(message));
    }
    let all = columns.is_empty();
    let wished = profile.columns.into_iter().filter(|column| all || columns.contains(&column.name));
    Ok(wished.collect())
}

/// Current values of one column.
enum Values {
    Numbers(Vec<f64>),
    Categories(CategoryCounts, Hashing),
    /// Nothing is read: the report says why already.
    Decided(Box<ColumnReport>),
}

fn compare_pass(
    columns: Vec<(ColumnProfile, Option<Sample>)>,
    current: &Input,
    reading: &Reading,
    rule: Rule,
    progress: &mut Progress,
) -> anyhow::Result<Vec<ColumnReport>> {
    let mut values: Vec<Values> =
        columns.iter().map(|(column, _)| expect(column, current)).collect();
    let wanting: Vec<Planned> = values
        .iter()
        .zip(&columns)
        .filter(|(values, _)| matches!(values, Values::Categories(_, Hashing::Wanted(_))))
        .filter_map(|(_, (column, _))| planned(current, &column.name).cloned())
        .collect();
    check_salt(&wanting, &reading.salt)?;
    let read: Vec<usize> =
        (0..values.len()).filter(|at| !matches!(values[*at], Values::Decided(_))).collect();
    let names: Vec<&str> = read.iter().map(|at| columns[*at].0.name.as_str()).collect();
    if names.is_empty() {
        progress.add(current.count);
    } else {
        current.each(&names, progress, |batch| {
            for (place, at) in read.iter().enumerate() {
                let column = &columns[*at].0;
                take(&mut values[*at], column, batch, place, &reading.salt)
                    .with_context(|| format!("column {:?}", column.name))?;
            }
            Ok(())
        })?;
    }
    let work: Vec<_> = columns.into_iter().zip(values).collect();
    Ok(parallel::map(reading.threads, work, |((column, sample), values)| {
        judge(&column, sample.as_ref(), values, rule)
    }))
}

fn planned<'a>(current: &'a Input, name: &str) -> Option<&'a Planned> {
    current.plan.iter().find(|planned| planned.name == name)
}

/// Whether a column of the reference is read from the current rows, and as what.
fn expect(column: &ColumnProfile, current: &Input) -> Values {
    let decided = |report| Values::Decided(Box::new(report));
    let Some(planned) = planned(current, &column.name) else { return decided(missing(column)) };
    let number_like = current.type_of(&column.name).is_some_and(is_number_like);
    let text_like = current.type_of(&column.name).is_some_and(is_text_like);
    let other_type = || {
        let reason = format!("it is {} now, which cannot be read as before", planned.type_name);
        decided(left_out(column, &reason))
    };
    let hashed =
        matches!(planned.treatment, Treatment::Categorical(Hashing::Done | Hashing::Wanted(_)));
    match (&column.shape, &planned.treatment) {
        (Shape::LeftOut(_), _) => decided(missing(column)),
        (_, Treatment::Dropped) => decided(left_out(column, "sensitive: never counted")),
        (Shape::Numeric(_), _) if hashed => decided(left_out(
            column,
            "the contract hashes it and the reference holds it in the clear",
        )),
        (Shape::Numeric(_), _) if !number_like => other_type(),
        (Shape::Numeric(_), _) => Values::Numbers(Vec::with_capacity(current.count as usize)),
        (Shape::Categorical(shape), _) if shape.hashed != hashed => decided(left_out(
            column,
            "hashed on one side only; name the contract that hashes it with --contract",
        )),
        (Shape::Categorical(shape), Treatment::Categorical(hashing)) => {
            Values::Categories(shape.categories.nothing(), *hashing)
        }
        (Shape::Categorical(_), Treatment::Numeric | Treatment::LeftOut(_)) if !text_like => {
            other_type()
        }
        (Shape::Categorical(shape), Treatment::Numeric | Treatment::LeftOut(_)) => {
            Values::Categories(shape.categories.nothing(), Hashing::No)
        }
    }
}

fn take(
    values: &mut Values,
    column: &ColumnProfile,
    batch: &RecordBatch,
    place: usize,
    salt: &[u8],
) -> anyhow::Result<()> {
    let array = batch.column(place);
    match (values, &column.shape) {
        (Values::Numbers(values), _) => {
            let numbers = numbers(array)?;
            values.extend(numbers.iter().map(|value| value.unwrap_or(f64::NAN)));
        }
        (Values::Categories(counts, hashing), Shape::Categorical(shape)) => {
            shape.categories.count_into(counts, &texts(array, *hashing, salt)?);
        }
        (Values::Categories(..), Shape::Numeric(_) | Shape::LeftOut(_))
        | (Values::Decided(_), _) => {}
    }
    Ok(())
}

fn judge(
    column: &ColumnProfile,
    sample: Option<&Sample>,
    values: Values,
    rule: Rule,
) -> ColumnReport {
    match (values, &column.shape) {
        (Values::Decided(report), _) => *report,
        (Values::Categories(counts, _), _) => {
            let counts = Counts::Categorical(counts);
            compare(
                column,
                &Current { counts, moments: None, samples: None, reference_new: 0 },
                rule,
            )
        }
        (Values::Numbers(values), Shape::Numeric(shape)) => {
            let now = Sample::new(values);
            let current = Current {
                counts: Counts::Numeric(shape.bins.count_sorted(&now)),
                moments: Moments::of(&now),
                samples: sample.map(|reference| (reference, &now)),
                reference_new: 0,
            };
            compare(column, &current, rule)
        }
        (Values::Numbers(_), Shape::Categorical(_) | Shape::LeftOut(_)) => missing(column),
    }
}
