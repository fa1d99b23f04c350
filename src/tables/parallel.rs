//! Columns are independent of each other: one at a time for each thread.

use std::sync::Mutex;

/// `work` on every item, on up to `threads` threads; answers in the items' order.
pub(super) fn map<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = threads.clamp(1, items.len().max(1));
    let (queue, work) = (Mutex::new(items.into_iter().enumerate()), &work);
    let take = || queue.lock().expect("taking an item does not panic").next();
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            while let Some((place, item)) = take() {
                done.push((place, work(item)));
            }
            done
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined.flat_map(|done| done.expect("work on a column does not panic")).collect()
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn answers_come_in_order() {
    for threads in [0, 1, 3, 100] {
        assert_eq!(
            map(threads, (0..50).collect(), |n| n * n),
            (0..50).map(|n| n * n).collect::<Vec<_>>()
        );
        assert!(map(threads, Vec::<u8>::new(), |n| n).is_empty());
    }
}
