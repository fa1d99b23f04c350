//! Tables: what each column becomes, and which rows are told why; and that the decoder's own columns
//! come through as they are.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray,
    RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int32Type, TimestampMicrosecondType,
};
use proptest::prelude::*;

use super::*;
use crate::{Decoder, MicroBatch};

fn contract(kind: &str, extra: &str) -> Contract {
    Contract::from_toml(&format!("name = 'c'\n[[fields]]\nname = 'x'\ntype = '{kind}'\n{extra}"))
        .unwrap()
}

fn table(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap()
}

/// Rows that are events, and the reasons of the others.
fn taken(kind: &str, extra: &str, column: ArrayRef) -> (Vec<u32>, Vec<String>, ArrayRef) {
    let table = table(column);
    let taken = Intake::new(&contract(kind, extra), &table.schema()).unwrap().take(&table);
    assert_eq!(taken.rows.len() + taken.rejects.len(), table.num_rows());
    assert_eq!(taken.rows.len(), taken.events.num_rows());
    let reasons = taken.rejects.into_iter().map(|(_, reason)| reason).collect();
    (taken.rows, reasons, taken.events.column(0).clone())
}

#[test]
fn numbers_fit_or_their_row_is_rejected() {
    let wide =
        || -> ArrayRef { Arc::new(Int64Array::from(vec![Some(1), Some(300), None, Some(-7)])) };
    let (rows, reasons, column) = taken("int8", "nullable = true", wide());
    assert_eq!((rows, reasons.len()), (vec![0, 2, 3], 1));
    assert!(reasons[0].contains("\"x\"") && reasons[0].contains("int8"), "{reasons:?}");
    assert!(!reasons[0].contains("300"), "a reason holds no value");
    let values: Vec<_> = column.as_primitive::<Int8Type>().iter().collect();
    assert_eq!(values, [Some(1), None, Some(-7)]);

    let (rows, reasons, _) = taken("int8", "", wide());
    assert_eq!(rows, [0, 3]);
    assert!(reasons[1].contains("null was found"), "{reasons:?}");

    let floats: ArrayRef =
        Arc::new(Float64Array::from(vec![3.0, 3.5, -0.0, 1e300, f64::NAN, f64::INFINITY]));
    let (rows, _, column) = taken("int32", "", floats.clone());
    assert_eq!(rows, [0, 2], "whole ones are integers");
    assert_eq!(column.as_primitive::<Int32Type>().values(), &[3, 0]);
    let (rows, _, column) = taken("float32", "", floats.clone());
    assert_eq!(rows, [0, 1, 2], "what overflows is not finite");
    assert_eq!(column.as_primitive::<Float32Type>().values(), &[3.0, 3.5, -0.0]);
    let (rows, _, _) = taken("float64", "", floats);
    assert_eq!(rows, [0, 1, 2, 3]);

    let big: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
    assert_eq!(taken("int64", "", big).0, [1]);
    let decimals = Decimal128Array::from(vec![150, 200]).with_precision_and_scale(5, 2).unwrap();
    assert_eq!(taken("int32", "", Arc::new(decimals.clone())).0, [1]);
    let (_, _, column) = taken("float64", "", Arc::new(decimals));
    assert_eq!(column.as_primitive::<Float64Type>().values(), &[1.5, 2.0]);
}

#[test]
fn text_and_instants_in_their_forms() {
    let micros =
        |column: &ArrayRef| column.as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_500_000_999]));
    assert_eq!(micros(&taken("timestamp", "", nanos).2), [1_500_000]);
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    assert_eq!(micros(&taken("timestamp", "", days).2), [86_400_000_000]);
    let texts: ArrayRef = Arc::new(LargeStringArray::from(vec!["1970-01-01T00:00:01Z", "soon"]));
    let (rows, reasons, column) = taken("timestamp", "", texts);
    assert_eq!((rows, reasons.len(), micros(&column)), (vec![0], 1, vec![1_000_000]));
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![2, i64::MAX]));
    let (rows, _, column) = taken("timestamp", "formats = ['epoch_millis']", counts);
    assert_eq!((rows, micros(&column)), (vec![0], vec![2_000]));

    let coded: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let (rows, _, column) = taken("string", "", Arc::new(coded));
    assert_eq!((rows, column.as_string::<i32>().value(1)), (vec![0, 2], "a"));
    let (rows, ..) = taken("string", "nullable = true", Arc::new(NullArray::new(2)));
    assert_eq!(rows, [0, 1]);
}

#[test]
fn lists_have_numbers_only_and_the_length_they_must() {
    let lists = |rows: Vec<Option<Vec<Option<f64>>>>| -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
    };
    let rows = vec![
        Some(vec![Some(1.0), Some(2.0)]),
        Some(vec![Some(1.0)]),
        Some(vec![Some(1.0), None]),
        None,
        Some(vec![Some(1.0), Some(f64::NAN)]),
        Some(vec![Some(3.0), Some(4.0)]),
    ];
    let (good, ..) = taken("float32[2]", "nullable = true", lists(rows.clone()));
    assert_eq!(good, [0, 3, 5]);
    let (good, ..) = taken("list<float32>", "", lists(rows.clone()));
    assert_eq!(good, [0, 1, 5]);
    // A slice's rows are not the first ones of its values.
    let sliced = table(lists(rows)).slice(3, 3);
    let intake = Intake::new(&contract("list<float64>", ""), &sliced.schema()).unwrap();
    assert_eq!(intake.take(&sliced).rows, [2]);
}

#[test]
fn what_cannot_be_a_field_is_said_before_the_first_row() {
    let column = |array: ArrayRef| table(array).schema();
    for (kind, array) in [
        ("int32", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ("string", Arc::new(Int32Array::from(vec![1]))),
        ("bool", Arc::new(Int32Array::from(vec![1]))),
        ("int8", Arc::new(BooleanArray::from(vec![true]))),
        ("timestamp", Arc::new(Int64Array::from(vec![1]))),
        ("bytes", Arc::new(StringArray::from(vec!["1"]))),
        ("float32[2]", Arc::new(Float32Array::from(vec![1.0]))),
    ] {
        let error = Intake::new(&contract(kind, ""), &column(array)).unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains(kind), "{error}");
    }
    let other = Schema::new(vec![Field::new("y", DataType::Int8, true)]);
    let error = Intake::new(&contract("int8", ""), &other).unwrap_err().to_string();
    assert!(error.contains("no column \"x\""), "{error}");
    let intake = Intake::new(&contract("int8", "nullable = true"), &other).unwrap();
    assert_eq!(intake.columns().count(), 0);
}

#[test]
fn the_archives_name_of_a_field_goes_before_its_own() {
    let contract =
        Contract::from_toml("name = 'c'\n[[fields]]\nname = 'offset'\ntype = 'int16'").unwrap();
    let columns = Schema::new(vec![
        Field::new("offset", DataType::Int64, false),
        Field::new("field_offset", DataType::Int16, true),
    ]);
    let batch = RecordBatch::try_new(
        Arc::new(columns),
        vec![Arc::new(Int64Array::from(vec![70_000])), Arc::new(Int16Array::from(vec![5]))],
    )
    .unwrap();
    let taken = Intake::new(&contract, &batch.schema()).unwrap().take(&batch);
    assert_eq!(taken.rows, [0]);
    assert_eq!(taken.events.schema().field(0).name(), "offset");
}

proptest! {
    /// What the decoder made of JSON is taken as it is: both say the same of the same rows.
    #[test]
    fn decoded_events_are_taken_whole(values in proptest::collection::vec(any::<(i16, f32, Option<bool>)>(), 1..40)) {
        let contract = Contract::from_toml(
            "name = 'c'\n[[fields]]\nname = 'a'\ntype = 'int16'\n[[fields]]\nname = 'b'\ntype = 'float32'\n\
             [[fields]]\nname = 'c'\ntype = 'bool'\nnullable = true",
        ).unwrap();
        let mut batch = MicroBatch::with_capacity("t".into(), 0, 0);
        for (offset, (a, b, c)) in values.iter().enumerate() {
            let c = c.map_or("null".to_owned(), |c| c.to_string());
            let text = format!("{{\"a\":{a},\"b\":{b:e},\"c\":{c}}}");
            batch.push(0, offset as i64, 0, None, Some(text.as_bytes())).unwrap();
        }
        let decoded = Decoder::new(&contract).decode(&batch);
        let intake = Intake::new(&contract, &decoded.events.schema()).unwrap();
        let taken = intake.take(&decoded.events);
        prop_assert!(taken.rejects.is_empty());
        prop_assert_eq!(taken.events.columns(), decoded.events.columns());
    }
}

#[test]
fn predictions_that_are_not_finite_are_null() {
    let numbers: ArrayRef =
        Arc::new(Float32Array::from(vec![Some(0.5), Some(f32::NAN), None, Some(f32::INFINITY)]));
    let nulls = |column: &ArrayRef| -> Vec<bool> {
        let made = finite_or_null(column);
        assert_eq!(made.data_type(), column.data_type());
        (0..made.len()).map(|row| made.is_null(row)).collect()
    };
    assert_eq!(nulls(&numbers), [false, true, true, true]);
    assert_eq!(nulls(&numbers.slice(0, 1)), [false]);
    let lists = [[0.5, 1.0], [0.5, f64::NAN], [f64::NEG_INFINITY, 1.0]];
    let lists = lists.map(|list| Some(list.map(Some)));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
    assert_eq!(nulls(&lists), [false, true, true]);
    assert_eq!(nulls(&lists.slice(2, 1)), [true]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("NaN"), None]));
    assert_eq!(nulls(&texts), [false, true]);
}
