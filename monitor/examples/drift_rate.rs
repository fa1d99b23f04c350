//! Times the statistics of `drift` in memory: PSI, exact KS, Jensen-Shannon and Wasserstein-1 of every
//! column, beside a plain loop that sorts and computes PSI and KS alone, in one run.
//!
//! `drift_rate [ROWS] [COLUMNS]`, 1,000,000 × 20 when left out. The data can be written as raw doubles
//! with a third argument, a folder, for the peers in `benches/peers/drift`.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use monitor::stats::{
    Bins, Pair, PsiNull, Sample, SamplePair, jensen_shannon_distance, ks_and_wasserstein, ks_p,
    psi_smoothed,
};

/// Each is timed so often, in turns; the best counts, since the machine is shared.
const ROUNDS: usize = 5;
const BINS: usize = 10;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rows, columns): (usize, usize) = (number(1_000_000), number(20));
    let reference: Vec<Vec<f64>> = (0..columns).map(|n| normal(rows, n as u64, 0.0)).collect();
    let current: Vec<Vec<f64>> =
        (0..columns).map(|n| normal(rows, 1000 + n as u64, 0.05)).collect();
    let pairs: Vec<(&[f64], &[f64])> =
        reference.iter().zip(&current).map(|(a, b)| (a.as_slice(), b.as_slice())).collect();
    if let Some(folder) = std::env::args().nth(3) {
        write(&folder, "reference", &reference)?;
        write(&folder, "current", &current)?;
    }

    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        let plain = || pairs.iter().map(|(a, b)| plain_psi_and_ks(a, b)).fold((0.0, 0.0), add);
        let ours = || pairs.iter().map(|(a, b)| statistics(a, b)).fold((0.0, 0.0), add);
        let (plain, ours_once) = (timed(&mut best[0], plain), timed(&mut best[1], ours));
        timed(&mut best[2], || parallel(&pairs, threads));
        assert!((plain.1 - ours_once.1).abs() < 1e-9, "the two loops see the same D");
    }
    let seconds = best.map(|time| time.as_secs_f64());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{rows} x {columns} against the same, best of {ROUNDS}")?;
    writeln!(out, "plain sort-based PSI + KS, one thread       {:.3} s", seconds[0])?;
    writeln!(
        out,
        "PSI + exact KS + JS + W1, one thread        {:.3} s  ({:.2} x plain)",
        seconds[1],
        seconds[1] / seconds[0]
    )?;
    writeln!(out, "PSI + exact KS + JS + W1, {threads} threads         {:.3} s", seconds[2])
}

fn timed<R>(best: &mut Duration, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let answer = black_box(work());
    *best = started.elapsed().min(*best);
    answer
}

fn add(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

/// What a report has of a column; answers PSI and D.
fn statistics(reference: &[f64], current: &[f64]) -> (f64, f64) {
    let (a, b) = (Sample::new(reference.iter().copied()), Sample::new(current.iter().copied()));
    let bins = Bins::fit(&a, BINS);
    let pair = Pair::new(bins.count_sorted(&a).bins, bins.count_sorted(&b).bins)
        .expect("both sides have rows");
    let psi = psi_smoothed(&pair);
    let p = PsiNull::new(&pair).p(psi, 1.0);
    let distance = jensen_shannon_distance(&pair);
    let samples = SamplePair::new(&a, &b).expect("both sides have values");
    let (gap, area) = ks_and_wasserstein(&samples);
    black_box((p, distance, area, ks_p(&gap, 1.0)));
    (psi, gap.value())
}

fn parallel(pairs: &[(&[f64], &[f64])], threads: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((a, b)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    black_box(statistics(a, b));
                }
            });
        }
    });
}

/// What one would write in an afternoon: sort both, quantile edges, count, walk.
fn plain_psi_and_ks(reference: &[f64], current: &[f64]) -> (f64, f64) {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(reference), sorted(current));
    let (n, m) = (a.len(), b.len());
    let mut psi = 0.0;
    let (mut from_a, mut from_b) = (0, 0);
    for k in 1..=BINS {
        let (to_a, to_b) = if k == BINS {
            (n, m)
        } else {
            let edge = a[k * (n - 1) / BINS];
            (a.partition_point(|value| *value <= edge), b.partition_point(|value| *value <= edge))
        };
        let p = ((to_a - from_a) as f64 / n as f64).max(1e-4);
        let q = ((to_b - from_b) as f64 / m as f64).max(1e-4);
        psi += (q - p) * (q / p).ln();
        (from_a, from_b) = (to_a, to_b);
    }
    let (mut i, mut j, mut d) = (0, 0, 0.0_f64);
    while i < n && j < m {
        let value = a[i].min(b[j]);
        while i < n && a[i] == value {
            i += 1;
        }
        while j < m && b[j] == value {
            j += 1;
        }
        d = d.max((i as f64 / n as f64 - j as f64 / m as f64).abs());
    }
    (psi, d)
}

/// About normal: the sum of twelve uniform numbers, less six.
fn normal(rows: usize, seed: u64, shift: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..rows).map(|_| (0..12).map(|_| next()).sum::<f64>() - 6.0 + shift).collect()
}

fn write(folder: &str, name: &str, columns: &[Vec<f64>]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(format!("{folder}/{name}.f64"))?);
    for value in columns.iter().flatten() {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
}
