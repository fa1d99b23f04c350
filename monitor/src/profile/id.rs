//! The id of a profile: a hash of its content, the same on every machine.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Profile, Shape};

/// Every number as its little-endian bits, every list and text behind its length.
struct Canonical(Sha256);

impl Canonical {
    fn count(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn text(&mut self, value: &str) {
        self.count(value.len() as u64);
        self.0.update(value.as_bytes());
    }

    fn number(&mut self, value: f64) {
        self.count(value.to_bits());
    }

    fn counts(&mut self, values: &[u64]) {
        self.count(values.len() as u64);
        values.iter().for_each(|value| self.count(*value));
    }
}

pub(super) fn id_of(profile: &Profile) -> String {
    let mut out = Canonical(Sha256::new());
    out.text("tidegate profile 2");
    out.count(profile.rows);
    out.count(profile.columns.len() as u64);
    for column in &profile.columns {
        out.text(&column.name);
        out.text(&column.type_name);
        out.text(column.shape.name());
        out.counts(&[column.rows, column.nulls, column.phi.chunk_rows]);
        out.count(u64::from(column.phi.chunks));
        out.number(column.phi.value);
        out.number(column.phi.evenness);
        out.number(column.phi.order);
        out.number(column.phi.nulls);
        shape(&mut out, &column.shape);
    }
    out.0.finalize()[..8].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn shape(out: &mut Canonical, shape: &Shape) {
    match shape {
        Shape::Numeric(shape) => {
            out.count(shape.bins.edges().len() as u64);
            shape.bins.edges().iter().for_each(|edge| out.number(*edge));
            out.counts(&shape.counts);
            out.count(shape.infinite);
            out.count(u64::from(shape.moments.is_some()));
            if let Some(m) = &shape.moments {
                for value in [m.min, m.q25, m.median, m.q75, m.max, m.sum, m.mean, m.std] {
                    out.number(value);
                }
            }
        }
        Shape::Categorical(shape) => {
            out.count(shape.categories.listed().len() as u64);
            shape.categories.listed().iter().for_each(|name| out.text(name));
            out.counts(&shape.counts);
            out.count(shape.other);
            out.counts(&shape.categories.tail().iter().copied().collect::<Vec<_>>());
            out.count(u64::from(shape.categories.tail_is_whole()));
        }
        Shape::LeftOut(reason) => out.text(reason),
    }
}
