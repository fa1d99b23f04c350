//! Made-up events: what a model is warmed up and tested with where no golden rows are given.
//!
//! Always the same for a package and a contract, inside documented ranges and categories.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::Schema;
use schemas::{Category, Contract, Field, FieldType, NumberType};

use crate::Package;

/// Items in a list of any length.
const LIST_ITEMS: usize = 4;

/// `rows` events with a column for every feature of the package that is a field of the contract.
#[must_use]
pub fn sample(package: &Package, contract: &Contract, rows: usize) -> RecordBatch {
    let inputs = &package.descriptor().inputs;
    let used = |field: &&Field| inputs.iter().any(|input| input.features.contains(&field.name));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (fields, columns): (Vec<_>, Vec<_>) = contract
        .fields()
        .iter()
        .filter(used)
        .map(|field| {
            let known = inputs.iter().find_map(|input| input.coding(&field.name));
            let known = known.map(|coding| coding.values.as_slice()).unwrap_or_default();
            (field.arrow_field(), column(field, known, rows, &mut random))
        })
        .unzip();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .expect("every column has the field's type and as many rows")
}

fn column(field: &Field, known: &[String], rows: usize, random: &mut Random) -> ArrayRef {
    match field.kind {
        FieldType::Bool => {
            Arc::new((0..rows).map(|_| Some(random.below(2) == 1)).collect::<BooleanArray>())
        }
        FieldType::Number(number) => numbers(field, number, rows, random),
        FieldType::String => {
            let mut texts: Vec<&str> = known.iter().map(String::as_str).collect();
            if texts.is_empty() {
                texts.extend(field.categories.iter().filter_map(|category| match category {
                    Category::Text(text) => Some(text.as_str()),
                    Category::Integer(_) => None,
                }));
            }
            if texts.is_empty() {
                texts.extend(["a", "b", "c"]);
            }
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|_| texts[random.below(texts.len())]),
            ))
        }
        FieldType::Bytes => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(b"", rows))),
        FieldType::Timestamp(_) => {
            let instants = (0..rows).map(|row| 1_357_000_000_000_000 + row as i64 * 60_000_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(instants).with_timezone("UTC"))
        }
        FieldType::FixedList(number, len) => {
            let items = numbers(field, number, rows * len as usize, random);
            let item = Arc::new(arrow::datatypes::Field::new("item", number.data_type(), false));
            Arc::new(FixedSizeListArray::new(item, len as i32, items, None))
        }
        FieldType::List(number) => {
            let items = numbers(field, number, rows * LIST_ITEMS, random);
            let item = Arc::new(arrow::datatypes::Field::new("item", number.data_type(), false));
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(LIST_ITEMS, rows));
            Arc::new(ListArray::new(item, offsets, items, None))
        }
    }
}

/// In the documented range, or small; every seventh float is far out, so that a scale taken from
/// the whole batch shows.
fn numbers(field: &Field, number: NumberType, rows: usize, random: &mut Random) -> ArrayRef {
    let made: ArrayRef = match number.integer_range() {
        Some((low, high)) => {
            let (lowest, highest) = (low, i64::try_from(high).unwrap_or(i64::MAX));
            let inside = |value: f64| (value as i64).clamp(lowest, highest);
            let small = (lowest.max(0), highest.min(9));
            let (low, high) = field.range.map_or(small, |(low, high)| (inside(low), inside(high)));
            let span = usize::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
            Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|_| low.saturating_add(random.below(span) as i64)),
            ))
        }
        None => {
            let values = (0..rows).map(|row| match field.range {
                Some((low, high)) => low + (high - low) * random.unit(),
                None => (random.unit() * 6.0 - 3.0) * if row % 7 == 6 { 20.0 } else { 1.0 },
            });
            Arc::new(Float64Array::from_iter_values(values))
        }
    };
    cast(&made, &number.data_type()).expect("numbers are cast to numbers")
}

/// SplitMix64: enough to spread values, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}
