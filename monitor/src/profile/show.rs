//! A profile for people and for scripts.

use serde_json::{Value, json};

use super::{ColumnProfile, Profile, Shape};
use crate::report::{Table, number};

/// Most frequent categories that the table names.
const SHOWN: usize = 3;

/// As a table.
pub fn text(profile: &Profile) -> String {
    let mut table = Table::new(&[
        "<column", "<type", "<kind", "nulls", "bins", "min", "median", "max", "mean", "IQR", "φ",
        "<",
    ]);
    for column in &profile.columns {
        table.row(cells(column));
    }
    format!("profile {}, {} rows\n\n{table}", profile.id(), profile.rows)
}

fn cells(column: &ColumnProfile) -> Vec<String> {
    let absent = || "·".to_owned();
    let mut cells = vec![
        column.name.clone(),
        column.type_name.clone(),
        column.shape.name().to_owned(),
        column.nulls.to_string(),
    ];
    match &column.shape {
        Shape::Numeric(shape) => {
            cells.push(shape.bins.len().to_string());
            match shape.moments {
                Some(of) => {
                    cells.extend([of.min, of.median, of.max, of.mean, of.iqr()].map(number))
                }
                None => cells.extend(std::iter::repeat_with(absent).take(5)),
            }
            cells.push(number(column.phi.value));
            cells.push(match shape.infinite {
                0 => String::new(),
                infinite => format!("{infinite} infinite"),
            });
        }
        Shape::Categorical(shape) => {
            cells.push(shape.counts.len().to_string());
            cells.extend(std::iter::repeat_with(absent).take(5));
            cells.push(number(column.phi.value));
            let named: Vec<String> = shape
                .categories
                .listed()
                .iter()
                .zip(&shape.counts)
                .take(SHOWN)
                .map(|(name, count)| {
                    let share = *count as f64 * 100.0 / column.rows.max(1) as f64;
                    format!("{} {share:.1} %", name.chars().take(16).collect::<String>())
                })
                .collect();
            cells.push(named.join(", "));
        }
        Shape::LeftOut(reason) => {
            cells[3] = absent();
            cells.extend(std::iter::repeat_with(absent).take(7));
            cells.push(reason.clone());
        }
    }
    cells
}

/// With every bin and category.
pub fn json(profile: &Profile) -> Value {
    json!({
        "format": 1,
        "id": profile.id(),
        "rows": profile.rows,
        "columns": profile.columns.iter().map(column).collect::<Vec<_>>(),
    })
}

fn column(column: &ColumnProfile) -> Value {
    let mut value = json!({
        "name": column.name,
        "type": column.type_name,
        "kind": column.shape.name(),
        "n": column.rows,
    });
    let Value::Object(members) = &mut value else { return value };
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    match &column.shape {
        Shape::LeftOut(reason) => {
            put("reason", json!(reason));
            return value;
        }
        Shape::Numeric(shape) => {
            put("infinite", json!(shape.infinite));
            put("moments", json!(shape.moments));
            put("iqr", json!(shape.moments.map(|of| of.iqr())));
            put("edges", json!(shape.bins.edges()));
            put("counts", json!(shape.counts));
        }
        Shape::Categorical(shape) => {
            put("categories", json!(shape.categories.listed()));
            put("counts", json!(shape.counts));
            put("other", json!(shape.other));
            put("rare_values", json!(shape.categories.tail().len()));
            put("rare_is_whole", json!(shape.categories.tail_is_whole()));
        }
    }
    put("nulls", json!(column.nulls));
    put(
        "phi",
        json!({
            "value": column.phi.value,
            "evenness": column.phi.evenness,
            "order": column.phi.order,
            "nulls": column.phi.nulls,
            "chunks": column.phi.chunks,
            "chunk_rows": column.phi.chunk_rows,
        }),
    );
    value
}
