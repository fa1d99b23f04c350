//! What is left to compact, in rounds: the files behind the record, old records first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;

use arrow::datatypes::{Field, Schema, SchemaRef};
use schemas::FooterPosition;

use super::record::Record;
use super::{Folders, TIMESTAMP};
use crate::archive::{follow, read_footer};
use crate::error::StoreError;
use crate::files::{Files, LocalFiles};
use crate::source::{self, Columns};

/// An archive file that is not compacted.
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) footer: FooterPosition,
    pub(super) schema: SchemaRef,
    newest_record_us: Option<i64>,
}

/// Files behind `record`; a hole between them, or behind what is compacted, is an error.
pub(super) fn pending(
    folders: &Folders,
    record: &mut Record,
) -> Result<BTreeMap<i32, VecDeque<Input>>, StoreError> {
    let mut schemas: HashMap<String, SchemaRef> = HashMap::new();
    let mut all = BTreeMap::new();
    for (partition, mut files) in source::files(&folders.source)? {
        // What lies below has expired, and is there because somebody was killed.
        let floor = record.expired.get(&partition).copied().unwrap_or(0);
        files.retain(|(start, _)| *start >= floor);
        let mut end = record.upto.get(&partition).copied();
        let mut inputs = VecDeque::new();
        let compacted = end.map_or(0, |end| files.partition_point(|(start, _)| *start < end));
        if let Some((_, path)) = files[..compacted].last() {
            // It must end where the record does, or rows between the two are in neither table.
            end = Some(read_footer(&LocalFiles, path)?.position.end);
        }
        if let (Some(end), Some(upto)) = (end, record.upto.get(&partition))
            && end != *upto
        {
            let path = files[compacted - 1].1.clone();
            return Err(StoreError::Chain { path, start: *upto, previous_end: end });
        }
        for (_, path) in files.into_iter().skip(compacted) {
            let footer = read_footer(&LocalFiles, &path)?;
            record.belongs(&footer.position, &path)?;
            end = Some(follow(end, &footer.position, &path)?);
            // Tables of one id have the same columns: one of them is kept.
            let schema =
                schemas.entry(footer.position.contract_id.clone()).or_insert(footer.schema);
            inputs.push_back(Input {
                bytes: LocalFiles.stat(&path).map_err(|e| StoreError::io("read", &path, e))?.bytes,
                newest_record_us: Columns::open(&path)?.greatest(TIMESTAMP),
                schema: SchemaRef::clone(schema),
                footer: footer.position,
                path,
            });
        }
        all.insert(partition, inputs);
    }
    Ok(all)
}

/// The next round: files of `bytes` at least where there are so many, those of the oldest records first,
/// so that a day's rows come together; each partition's in order.
pub(super) fn round(pending: &mut BTreeMap<i32, VecDeque<Input>>, bytes: u64) -> Vec<Input> {
    let mut round = Vec::new();
    let mut taken = 0;
    while taken < bytes {
        let heads = pending
            .iter()
            .filter_map(|(partition, inputs)| Some((inputs.front()?.newest_record_us, *partition)));
        let Some((_, oldest)) = heads.min() else { break };
        let input = pending.get_mut(&oldest).and_then(VecDeque::pop_front);
        let input = input.expect("it has a head");
        taken += input.bytes;
        round.push(input);
    }
    round
}

/// The columns of all these together: one that some lack is null there.
pub(crate) fn columns(schemas: &[SchemaRef]) -> Result<SchemaRef, StoreError> {
    // What a file says of itself beside its columns is not the others'.
    let plain = schemas.iter().map(|schema| Schema::new(schema.fields().clone()));
    let merged = Schema::try_merge(plain);
    let merged = merged.map_err(|error| {
        StoreError::Query(format!("the files do not have the same columns: {error}"))
    })?;
    let everywhere =
        |field: &Field| schemas.iter().all(|schema| schema.field_with_name(field.name()).is_ok());
    let fields = merged.fields().iter().map(|field| {
        let nullable = field.is_nullable() || !everywhere(field);
        Field::clone(field).with_nullable(nullable)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()).into())
}
