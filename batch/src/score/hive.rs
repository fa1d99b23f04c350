//! Columns that folders' names give: `date=2026-01-31` is a column `date` of the files below.
//!
//! What a file itself says of such a column goes before: a column of Parquet or CSV, a member of a line.
//! Refuses folders that say one key twice.

use std::path::{Component, Path};

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use schemas::Contract;

use crate::error::StoreError;

/// How the writers of such folders call a null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The keys that all `files` have, with the contract's types, as text where it names none.
pub(super) fn keys(
    files: &[impl AsRef<Path>],
    contract: &Contract,
) -> Result<Vec<Field>, StoreError> {
    let mut files = files.iter().map(AsRef::as_ref);
    let names = |file: &Path| pairs(file).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let Some(first) = files.next() else { return Ok(Vec::new()) };
    let keys = names(first);
    if let Some(twice) = (1..keys.len()).find(|at| keys[..*at].contains(&keys[*at])) {
        return Err(StoreError::Query(format!(
            "{}: two of its folders say {:?}: rename one of them",
            first.display(),
            keys[twice]
        )));
    }
    if let Some(other) = files.find(|file| names(file) != keys) {
        return Err(StoreError::Query(format!(
            "{}: its folders do not name the same columns as those of {}: {:?} and {keys:?}",
            other.display(),
            first.display(),
            names(other)
        )));
    }
    let field = |key: String| {
        let kind = contract.field(&key).map_or(DataType::Utf8, |field| field.kind.data_type());
        Field::new(key, kind, true)
    };
    Ok(keys.into_iter().map(field).collect())
}

/// The values of `keys` for a file.
pub(super) fn values(file: &Path, keys: &[Field]) -> Result<Vec<ScalarValue>, StoreError> {
    let pairs = pairs(file);
    let value = |key: &Field| {
        // The innermost: the path from the root may begin with folders that nobody named.
        let of_key = pairs.iter().rev().find(|(name, _)| name == key.name());
        let text = of_key.map_or(NULL, |(_, text)| text);
        let made = match text {
            NULL => ScalarValue::try_new_null(key.data_type()),
            text => ScalarValue::try_from_string(text.to_owned(), key.data_type()),
        };
        made.map_err(|_| {
            StoreError::Query(format!(
                "{}: the folder says {}={text}, which is no {}",
                file.display(),
                key.name(),
                key.data_type()
            ))
        })
    };
    keys.iter().map(value).collect()
}

fn pairs(file: &Path) -> Vec<(String, String)> {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let pair = |folder: Component<'_>| {
        let (key, value) = folder.as_os_str().to_str()?.split_once('=')?;
        (!key.is_empty()).then(|| (key.to_owned(), decoded(value)))
    };
    folders.filter_map(pair).collect()
}

/// `%41` is `A`: writers escape what a file system might not take.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex = (*first == b'%').then(|| behind.get(..2)).flatten();
        let byte = hex
            .and_then(|hex| str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> Contract {
        Contract::from_toml("name = 'c'\n[[fields]]\nname = 'day'\ntype = 'int8'").unwrap()
    }

    #[test]
    fn folders_name_columns() {
        let files = ["a/day=3/place=New%20York/x.parquet", "a/day=4/place=50%/y.parquet"];
        let keys = keys(&files, &contract()).unwrap();
        assert_eq!(
            keys.iter().map(Field::data_type).collect::<Vec<_>>(),
            [&DataType::Int8, &DataType::Utf8]
        );
        let of = |file: &str| values(Path::new(file), &keys).unwrap();
        assert_eq!(of(files[0]), [ScalarValue::from(3i8), ScalarValue::from("New York")]);
        assert_eq!(of(files[1]), [ScalarValue::from(4i8), ScalarValue::from("50%")]);
        let null = of("a/day=__HIVE_DEFAULT_PARTITION__/place=x/z.parquet");
        assert_eq!(null[0], ScalarValue::Int8(None));
    }

    #[test]
    fn folders_that_differ_or_do_not_fit_are_refused() {
        let error = keys(&["day=1/x.csv", "y.csv"], &contract()).unwrap_err().to_string();
        assert!(error.contains("y.csv"), "{error}");
        let keys = keys(&["day=1/x.csv"], &contract()).unwrap();
        let error = values(Path::new("day=monday/x.csv"), &keys).unwrap_err().to_string();
        assert!(error.contains("day=monday"), "{error}");
    }

    #[test]
    fn a_key_twice_is_refused_unless_nobody_named_the_outer_folder() {
        let said = keys(&["a=1/b=5/a=2/x.csv"], &contract()).unwrap_err().to_string();
        assert!(said.contains("a=1/b=5/a=2/x.csv") && said.contains("say \"a\""), "{said}");
        let keys = keys(&["a=2/x.csv"], &contract()).unwrap();
        let found = values(Path::new("/a=1/a=2/x.csv"), &keys).unwrap();
        assert_eq!(found, [ScalarValue::from("2")]);
    }
}
