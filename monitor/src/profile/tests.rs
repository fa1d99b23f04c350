//! A profile keeps what it must, comes back as it was, and is refused when it was changed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::columns::{Gathered, Hashing, Planned, Treatment};
use crate::stats::Sample;

pub(crate) fn numeric(name: &str, values: &[f64]) -> ColumnProfile {
    let planned = planned(name, Treatment::Numeric);
    let gathered = Gathered::Numbers(values.to_vec());
    fit(&planned, Some(&gathered), values.len() as u64, FitOptions::default()).0
}

pub(crate) fn categorical(name: &str, values: &[Option<&str>]) -> ColumnProfile {
    let planned = planned(name, Treatment::Categorical(Hashing::No));
    let mut gathered = Gathered::new(&planned.treatment, 0).unwrap();
    let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    gathered.push(&column, &planned.treatment, b"").unwrap();
    fit(&planned, Some(&gathered), values.len() as u64, FitOptions::default()).0
}

fn planned(name: &str, treatment: Treatment) -> Planned {
    Planned { name: name.into(), type_name: "Float64".into(), treatment }
}

fn left_out(name: &str) -> ColumnProfile {
    fit(&planned(name, Treatment::LeftOut("why".into())), None, 5, FitOptions::default()).0
}

fn sample() -> Profile {
    let numbers: Vec<f64> = (0..5000).map(|n| f64::from(n * 7919 % 5000) / 8.0).collect();
    let mut odd = numbers.clone();
    odd[..3].copy_from_slice(&[f64::NAN, f64::INFINITY, -0.0]);
    let names: Vec<Option<&str>> =
        (0..5000).map(|n| [Some("a"), Some("b\n\"é"), None][n % 3]).collect();
    let columns = vec![
        numeric("x", &numbers),
        numeric("odd", &odd),
        numeric("nothing", &[f64::NAN; 40]),
        numeric("", &[]),
        categorical("c", &names),
        left_out("t"),
    ];
    Profile { rows: 5000, columns }
}

fn read(table: &RecordBatch) -> Result<Profile, ProfileError> {
    Profile::from_table(table.schema_ref(), std::slice::from_ref(table))
}

#[test]
fn it_comes_back_from_its_table() {
    let profile = sample();
    let table = profile.to_table();
    assert_eq!(read(&table).unwrap(), profile);
    let halves = [table.slice(0, 2), table.slice(2, 4)];
    assert_eq!(Profile::from_table(table.schema_ref(), &halves).unwrap(), profile);
}

#[test]
fn the_id_is_of_the_content() {
    let (mut other, id) = (sample(), sample().id());
    assert_eq!((id.len(), &id), (16, &sample().id()));
    other.columns[0].nulls += 1;
    assert_ne!(other.id(), id);
    // Promised: counts on disk name it.
    assert_eq!(Profile { rows: 0, columns: vec![] }.id(), "ddc20dfdb2c4fe17");
}

#[test]
fn what_was_changed_is_refused() {
    let table = sample().to_table();
    let cut = table.slice(0, 3);
    assert!(matches!(read(&cut), Err(ProfileError::Changed { .. })));
    let bare = Schema::new(table.schema().fields().clone());
    assert_eq!(Profile::from_table(&bare, &[]), Err(ProfileError::NotOne));
    assert!(Profile::is_one(table.schema_ref()) && !Profile::is_one(&bare));
    let mut metadata: HashMap<String, String> = table.schema().metadata().clone();
    metadata.insert("tidegate.profile.format".into(), "9".into());
    let later = bare.with_metadata(metadata);
    assert_eq!(Profile::from_table(&later, &[]), Err(ProfileError::Format("9".into())));
    for (column, value) in [
        ("phi", Arc::new(Float64Array::from(vec![f64::NAN; 6])) as ArrayRef),
        ("phi_nulls", Arc::new(Float64Array::from(vec![0.5; 6]))),
        ("rows", Arc::new(Int64Array::from(vec![-1; 6]))),
        ("kind", Arc::new(StringArray::from(vec!["sketch"; 6]))),
        ("name", Arc::new(Int64Array::from(vec![1; 6]))),
    ] {
        let place = table.schema().index_of(column).unwrap();
        let mut columns = table.columns().to_vec();
        let mut fields: Vec<_> = table.schema().fields().iter().cloned().collect();
        fields[place] = Arc::new(Field::new(column, value.data_type().clone(), true));
        columns[place] = value;
        let schema = Schema::new_with_metadata(fields, table.schema().metadata().clone());
        let broken = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        assert!(matches!(read(&broken), Err(ProfileError::Damaged(_))), "{column}");
    }
}

#[test]
fn an_identifier_is_left_out() {
    let values: Vec<String> = (0..5000).map(|n| format!("id-{n}")).collect();
    let all: Vec<Option<&str>> = values.iter().map(|value| Some(value.as_str())).collect();
    assert!(matches!(categorical("id", &all).shape, Shape::LeftOut(_)));
    let few: Vec<Option<&str>> = all.iter().cycle().take(20_000).copied().collect();
    let Shape::Categorical(shape) = categorical("id", &few).shape else { panic!("counted") };
    assert_eq!((shape.counts.len(), shape.other), (1000, 16_000));
    assert_eq!(shape.counts.iter().sum::<u64>() + shape.other, 20_000);
}

#[test]
fn over_dispersion_is_learned_from_the_order() {
    let steps: Vec<f64> = (0..20_000).map(|n| f64::from(n / 1000)).collect();
    let shuffled: Vec<f64> = (0..20_000).map(|n| f64::from(n * 7919 % 20_000 / 1000)).collect();
    assert!(numeric("x", &steps).phi.value > 100.0);
    let phi = numeric("x", &shuffled).phi;
    assert!(phi.value < 1.2 && phi.chunks == 20 && phi.chunk_rows == 1000, "{phi:?}");
    let names = |values: &[f64]| -> Vec<String> { values.iter().map(f64::to_string).collect() };
    let (steps, shuffled) = (names(&steps), names(&shuffled));
    let of = |names: &[String]| -> f64 {
        let values: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
        categorical("c", &values).phi.value
    };
    assert!(of(&steps) > 100.0 && of(&shuffled) < 1.2);
    assert_eq!(numeric("x", &[1.0; 100]).phi.value, 1.0);
}

#[test]
fn over_dispersion_of_nulls_is_not_that_of_values() {
    let value =
        |n: u32| if n / 500 == 7 && n.is_multiple_of(2) { f64::NAN } else { f64::from(n % 500) };
    let phi = numeric("x", &(0..10_000).map(value).collect::<Vec<_>>()).phi;
    assert!(phi.nulls > 10.0, "half of one chunk: {phi:?}");
    let value = |n: u32| if n.is_multiple_of(40) { f64::NAN } else { f64::from(n / 500) };
    let phi = numeric("x", &(0..10_000).map(value).collect::<Vec<_>>()).phi;
    assert!(phi.value > 100.0 && phi.nulls == 1.0, "nulls all the time, values in steps: {phi:?}");
    let names: Vec<Option<&str>> =
        (0..10_000).map(|n| if n / 500 == 7 { None } else { Some(["a", "b"][n % 2]) }).collect();
    assert!(categorical("c", &names).phi.nulls > 10.0);
    assert_eq!(numeric("x", &[1.0; 100]).phi.nulls, 1.0);
}

#[test]
fn a_window_is_never_worth_less_than_one_row() {
    let phi = Phi { nulls: 50_000.0, chunk_rows: 50_000, ..Phi::unknown(1) };
    for (rows, low, high) in
        [(0, 1.0, 1.0), (1, 1.0, 1.0), (500, 500.0, 501.0), (1_000_000, 49_999.0, 50_001.0)]
    {
        let of = phi.of_nulls(rows);
        assert!((low..=high).contains(&of), "{rows}: {of}");
    }
    let phi = Phi { nulls: 11.0, ..phi };
    assert!((1.09..1.11).contains(&phi.of_nulls(500)) && phi.of_nulls(60_000) == 11.0);
}

proptest! {
    #[test]
    fn counts_add_up_and_survive_the_table(values in prop::collection::vec(
        prop_oneof![8 => -50.0..50.0_f64, 1 => Just(0.0), 1 => any::<f64>()], 0..600
    )) {
        let column = numeric("x", &values);
        let Shape::Numeric(shape) = &column.shape else { panic!("numeric") };
        let counted = shape.bins.count(values.iter().copied());
        prop_assert_eq!(&counted.bins, &shape.counts);
        let sample = Sample::new(values.iter().copied());
        prop_assert_eq!(&counted, &shape.bins.count_sorted(&sample));
        prop_assert_eq!(
            counted.rows(), shape.counts.iter().sum::<u64>() + column.nulls + shape.infinite
        );
        let profile = Profile { rows: column.rows, columns: vec![column] };
        prop_assert_eq!(read(&profile.to_table()).unwrap(), profile);
    }
}
