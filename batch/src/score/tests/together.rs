//! Threads of a job: where one ends in disorder the others do not go on to their end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

/// A part each: seconds of work, so that a panic whose backtrace is printed first is still soon.
const FILES: usize = 300;
const UNLUCKY: f64 = 13.0;

/// Doubles slowly, and panics where it meets that number.
struct Panics;

impl Predictor for Panics {
    fn outputs(&self) -> SchemaRef {
        Doubler.outputs()
    }

    fn predict(&mut self, events: &RecordBatch) -> Result<RecordBatch, PredictError> {
        let values = events.column_by_name("x").unwrap().as_primitive::<Float64Type>();
        assert!(!values.iter().flatten().any(|value| value == UNLUCKY), "an unlucky row");
        std::thread::sleep(Duration::from_millis(20));
        Doubler.predict(events)
    }
}

#[test]
fn a_panic_in_one_thread_stops_the_others_soon() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for file in 0..FILES {
        let x = if file == 0 { UNLUCKY } else { 1.0 };
        let path = folder.path().join(format!("in/{file:03}.csv"));
        fs::write(path, format!("id,x,n\na,{x},1\n")).unwrap();
    }
    let plain = Arc::into_inner(model(CONTRACT)).expect("nobody else's");
    let sessions = Sessions::new(2, Box::new(|| Ok(Box::new(Panics))));
    let mut job =
        Job::open(config(folder.path(), &["in"]), Arc::new(Model { sessions, ..plain })).unwrap();
    let run = || job.run(2, SystemTime::UNIX_EPOCH, &|_| {}, &|| false);
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "the panic is the caller's");
    let made = fs::read_dir(folder.path().join("out/results")).unwrap().count();
    assert!(made < FILES / 2, "{made} of {FILES} parts were made after the panic");
}

#[test]
fn a_session_that_panics_makes_room_for_another() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let make = move || -> Result<Box<dyn Predictor>, String> {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Doubler))
    };
    let sessions = Sessions::new(1, Box::new(make));
    for _ in 0..2 {
        let panics = || sessions.with::<()>(|_| panic!("an unlucky row"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    }
    sessions.with(|_| Ok(())).expect("there is room for one");
    assert_eq!(made.load(Ordering::Relaxed), 3, "what panicked is not lent again");
}

#[test]
fn a_session_that_cannot_be_made_makes_room_for_another() {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let make = move || -> Result<Box<dyn Predictor>, String> {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Err("the file is gone".into()),
            _ => Ok(Box::new(Doubler)),
        }
    };
    let sessions = Sessions::new(1, Box::new(make));
    assert!(sessions.with(|_| Ok(())).is_err(), "the first is not made");
    (0..2).for_each(|_| sessions.with(|_| Ok(())).expect("the second is"));
    assert_eq!(tried.load(Ordering::Relaxed), 2, "and lent again");
}
