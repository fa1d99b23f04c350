//! The vectors' series: the same bits in any language, from + − × ÷ √ floor alone.

use serde_json::Value;

pub(super) struct Lcg(u64);

impl Lcg {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 * (0.5_f64).powi(53)
    }

    pub(super) fn normal(&mut self) -> f64 {
        let mut sum = self.uniform();
        for _ in 1..12 {
            sum += self.uniform();
        }
        sum - 6.0
    }
}

/// The series a spec of the vectors describes.
pub(super) fn series(spec: &Value) -> Vec<f64> {
    let number =
        |key: &str, default: f64| spec.get(key).map_or(default, |v| v.as_f64().expect(key));
    let every = |key: &str| spec.get(key).map_or(usize::MAX, |v| v.as_u64().expect(key) as usize);
    let (a, b) = (number("a", 0.0), number("b", 1.0));
    let kind = spec["kind"].as_str().expect("kind");
    let rows = spec["n"].as_u64().expect("n") as usize;
    let mut lcg = Lcg::new(spec["seed"].as_u64().expect("seed"));
    let mut before = 0.0;
    let mut values: Vec<f64> = (0..rows)
        .map(|i| match kind {
            "uniform" => a + b * lcg.uniform(),
            "normal" => a + b * lcg.normal(),
            "pareto2" => a + b * (1.0 / (1.0 - lcg.uniform()).sqrt()),
            "int5" => a + b * (lcg.uniform() * 5.0).floor(),
            "int5sq" => {
                let u = lcg.uniform();
                a + b * (u * u * 5.0).floor()
            }
            "zeroinfl" => match lcg.uniform() {
                u if u < 0.5 => 0.0,
                u => a + b * u,
            },
            "const" => a,
            "ramp" => a + b * i as f64,
            "signzero" => match lcg.uniform() {
                u if u < 0.25 => -0.0,
                u if u < 0.5 => 0.0,
                u => u,
            },
            "ar1" => {
                before = a * before + lcg.normal();
                before
            }
            other => panic!("the vectors hold a kind this generator lacks: {other}"),
        })
        .collect();
    for (key, value) in [
        ("nan_every", f64::NAN),
        ("posinf_every", f64::INFINITY),
        ("neginf_every", f64::NEG_INFINITY),
    ] {
        values
            .iter_mut()
            .step_by(every(key))
            .filter(|_| spec.get(key).is_some())
            .for_each(|v| *v = value);
    }
    if let (Some(outlier), Some(last)) = (spec.get("outlier"), values.last_mut()) {
        *last = outlier.as_f64().expect("outlier");
    }
    values
}

/// The vectors' checksum: FNV-1a 64 over little-endian bytes, one NaN for all.
pub(super) fn checksum(values: &[f64]) -> String {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|v| {
            if v.is_nan() { 0x7ff8_0000_0000_0000_u64 } else { v.to_bits() }.to_le_bytes()
        })
        .collect();
    format!("{:016x}", crate::stats::categories::fnv1a64(&bytes))
}
