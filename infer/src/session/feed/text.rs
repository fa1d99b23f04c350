//! String tensors: the texts of the rows, in strings that are kept between calls.

use std::ops::Range;

use arrow::array::{Array, AsArray};
use schemas::PredictError;

use super::super::columns::InputColumns;
use super::fill::null_row;
use crate::descriptor::Literal;
use crate::plan::InputPlan;

/// Every row's texts, one source after the other, and the last row again up to `padded` rows.
pub(super) fn assemble(
    plan: &InputPlan,
    columns: InputColumns<'_>,
    rows: Range<usize>,
    padded: usize,
    out: &mut Vec<String>,
) -> Result<(), PredictError> {
    let width = plan.sources.len();
    out.resize(padded * width, String::new());
    for (index, source) in plan.sources.iter().enumerate() {
        let column = columns.get(index).as_string::<i32>();
        let last = rows.end.saturating_sub(1);
        let padding = std::iter::repeat_n(last, padded - rows.len());
        for (row, out) in rows.clone().chain(padding).zip(out.chunks_exact_mut(width)) {
            let text = match (column.is_null(row), &source.null) {
                (false, _) => column.value(row),
                (true, Some(Literal::Text(value))) => value,
                (true, _) => return Err(null_row(source)),
            };
            if text.contains('\0') {
                return Err(PredictError::Rows(format!(
                    "feature `{}` holds a zero byte, which a string tensor cannot",
                    source.feature
                )));
            }
            out[index].clear();
            out[index].push_str(text);
        }
    }
    Ok(())
}
