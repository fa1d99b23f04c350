//! The most memory that hop 3 takes, from the limits of its parts.

use crate::count::{Settings, count_bytes};
use crate::dashboard;
use crate::evaluate::{Watched, judge_bytes};

/// Bytes that hop 3 takes at most with `threads` threads, archive files of `file_rows` rows and `join_bytes`
/// for the join of labels; none where nothing is watched. On top come what is known of each count file, about
/// 1 kB, and a single window with so many versions and arms that it takes more than judging may.
pub fn memory_bound_bytes(
    watched: &[Watched],
    file_rows: usize,
    join_bytes: usize,
    threads: usize,
) -> usize {
    let settings = || watched.iter().map(|one| one.counter.settings());
    let counting = |of: &Settings| threads.max(1) * count_bytes(of, file_rows);
    let most = settings().map(|of| counting(of).max(judge_bytes(of, threads))).max();
    // Counting, judging and the join take turns; the dashboard answers beside them.
    most.map_or(0, |most| most.max(join_bytes) + dashboard::MEMORY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::CHUNK_ROWS;
    use crate::count::tests::counter;
    use crate::evaluate::Versions;

    #[test]
    fn the_part_that_takes_most_is_the_bound() {
        let root = tempfile::tempdir().unwrap();
        let one = Watched { counter: counter(root.path(), 60), versions: Versions::AllBut(vec![]) };
        let watched = [one];
        let of = |rows, join, threads| memory_bound_bytes(&watched, rows, join, threads);
        let judging = judge_bytes(watched[0].counter.settings(), 1) + dashboard::MEMORY_BYTES;
        assert_eq!(of(1_000, 0, 1), judging);
        assert_eq!(of(1_000, 1 << 30, 1), (1 << 30) + dashboard::MEMORY_BYTES);
        let counting = of(CHUNK_ROWS, 0, 16);
        assert!(counting > judging && counting == of(10 * CHUNK_ROWS, 0, 16), "{counting}");
        assert_eq!(memory_bound_bytes(&[], 1_000, 1 << 30, 1), 0);
    }
}
