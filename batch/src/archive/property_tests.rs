//! The archive on the model file system: whatever fails, whoever dies, whoever else writes, the
//! published files are whole, touch each other, and hold each record of the log exactly once.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use rustix::io::Errno;

use super::testing::{batch, config, offsets_of_file, table, topic};
use super::{Archive, Outcome, layout, read_footer};
use crate::error::StoreError;
use crate::files::model::{Disk, FailOnce, ModelFiles};

const ROOT: &str = "/data/archive";
const LOG_END: i64 = 400;
const WRITERS: usize = 2;

#[derive(Clone, Debug)]
enum Action {
    Start(usize),
    Append(usize, usize),
    /// The reader is past what holds no record.
    Pass(usize),
    Tick(usize, u64),
    Revoke(usize),
    /// The process dies after so many more calls.
    Kill(usize, u64),
    Crash,
    /// One call in so many fails; 0 for none.
    Faults(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let who = 0..WRITERS;
    let action = prop_oneof![
        6 => who.clone().prop_map(Action::Start),
        12 => (who.clone(), 1usize..40).prop_map(|(who, n)| Action::Append(who, n)),
        3 => who.clone().prop_map(Action::Pass),
        6 => (who.clone(), 1u64..40).prop_map(|(who, seconds)| Action::Tick(who, seconds)),
        2 => who.clone().prop_map(Action::Revoke),
        3 => (who, 0u64..25).prop_map(|(who, calls)| Action::Kill(who, calls)),
        2 => Just(Action::Crash),
        2 => prop_oneof![Just(0), 4u64..60].prop_map(Action::Faults),
    ];
    proptest::collection::vec(action, 1..80)
}

struct Writer {
    archive: Option<Archive>,
    calls_left: Arc<AtomicU64>,
    cursor: i64,
}

struct World {
    disk: Arc<Mutex<Disk>>,
    log: Vec<i64>,
    writers: Vec<Writer>,
    now: Instant,
    /// End of what some writer was told is durable.
    promised: i64,
}

impl World {
    fn new(seed: u64, log: Vec<i64>) -> Self {
        let nobody = || Writer { archive: None, calls_left: Arc::default(), cursor: 0 };
        let writers = (0..WRITERS).map(|_| nobody()).collect();
        Self { disk: Disk::new(seed), log, writers, now: Instant::now(), promised: 0 }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Start(who) => self.start(who),
            Action::Append(who, records) => self.append(who, records),
            Action::Pass(who) => self.pass(who),
            Action::Tick(who, seconds) => {
                self.now += Duration::from_secs(seconds);
                self.call(who, |archive, now| archive.tick(now));
            }
            Action::Revoke(who) => {
                self.call(who, |archive, _| archive.revoke(&[0]));
                self.writers[who].archive = None;
            }
            Action::Kill(who, calls) => {
                self.writers[who].calls_left.store(calls, Ordering::Relaxed);
            }
            Action::Crash => {
                for writer in &mut self.writers {
                    writer.calls_left.store(0, Ordering::Relaxed);
                    writer.archive = None;
                }
                self.disk.lock().unwrap().crash();
            }
            Action::Faults(one_in) => self.disk.lock().unwrap().set_faults(one_in),
        }
    }

    fn start(&mut self, who: usize) {
        self.writers[who].archive = None;
        let files = ModelFiles::new(&self.disk);
        self.writers[who].calls_left = files.calls_left();
        let mut config = config(ROOT, &format!("w{who}"));
        (config.roll_rows, config.roll_age) = (60, Duration::from_secs(30));
        config.carry_after = Duration::from_secs(50);
        config.row_group_rows = 25;
        match Archive::open_on(Arc::new(files), config, topic(), table(), SystemTime::UNIX_EPOCH) {
            Ok(archive) => self.writers[who].archive = Some(archive),
            Err(error) => return only_io(&error),
        }
        self.reopen(who);
    }

    fn reopen(&mut self, who: usize) {
        let writer = &mut self.writers[who];
        let Some(archive) = &mut writer.archive else { return };
        match archive.position(0) {
            Ok(position) => {
                writer.cursor = position.unwrap_or(0);
                assert!(writer.cursor >= self.promised, "a promise was forgotten");
            }
            Err(error) => {
                only_io(&error);
                writer.archive = None;
            }
        }
    }

    fn append(&mut self, who: usize, records: usize) {
        let cursor = self.writers[who].cursor;
        let next: Vec<i64> =
            self.log.iter().copied().filter(|o| *o >= cursor).take(records).collect();
        self.writers[who].cursor = next.last().map_or(LOG_END, |last| last + 1);
        self.call(who, |archive, now| match next.is_empty() {
            true => archive.advance(0, LOG_END, now).map(|()| Outcome::default()),
            false => archive.append(&batch(0, next), now),
        });
    }

    fn pass(&mut self, who: usize) {
        let cursor = self.writers[who].cursor;
        let next = self.log.iter().copied().find(|offset| *offset >= cursor).unwrap_or(LOG_END);
        self.writers[who].cursor = next;
        self.call(who, |archive, now| archive.advance(0, next, now).map(|()| Outcome::default()));
    }

    fn call(
        &mut self,
        who: usize,
        call: impl FnOnce(&mut Archive, Instant) -> Result<Outcome, StoreError>,
    ) {
        let Some(archive) = &mut self.writers[who].archive else { return };
        match call(archive, self.now) {
            Ok(outcome) => {
                for file in &outcome.published {
                    self.promised = self.promised.max(file.footer.end);
                }
                if !outcome.lost.is_empty() {
                    self.reopen(who);
                }
            }
            Err(error) => {
                only_io(&error);
                self.writers[who].archive = None;
            }
        }
    }

    /// What any reader sees now.
    fn check(&self) {
        let disk = self.disk.lock().unwrap().files();
        let reader = LooseFiles(&disk);
        let mut end = 0;
        for (path, bytes) in &disk {
            if !path.starts_with(Path::new(ROOT).join("results")) {
                continue;
            }
            let footer = reader.footer(path).position;
            assert_eq!(footer.start, end, "{} does not touch", path.display());
            let in_log = |offset: &&i64| (footer.start..footer.end).contains(*offset);
            let expected: Vec<i64> = self.log.iter().filter(in_log).copied().collect();
            assert_eq!(offsets_of_file(bytes), expected, "rows of {}", path.display());
            end = footer.end;
        }
        assert!(end >= self.promised, "durable up to {end}, promised {}", self.promised);
    }
}

/// Under faults calls fail; what is on the disk is never found wrong.
fn only_io(error: &StoreError) {
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

/// Reads footers from a snapshot, without faults.
struct LooseFiles<'a>(&'a [(std::path::PathBuf, Vec<u8>)]);

impl LooseFiles<'_> {
    fn footer(&self, path: &Path) -> super::footer::Footer {
        let (_, bytes) = self.0.iter().find(|(have, _)| have == path).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.parquet");
        std::fs::write(&copy, bytes).unwrap();
        assert!(layout::parse_start(path.file_name().unwrap().to_str().unwrap()).is_some());
        read_footer(&crate::files::LocalFiles, &copy).unwrap()
    }
}

/// A dies within its publish, B takes over and dies within its own, then the machine stops: what B
/// built upon must not vanish from beneath it.
#[test]
fn two_processes_die_in_turn_at_every_call() {
    for (first, second) in (0..14).flat_map(|a| (0..14).map(move |b| (a, b))) {
        for seed in 1..=12 {
            let mut world = World::new(seed * 0x9E37_79B9, (0..LOG_END).collect());
            for (who, calls) in [(0, first), (1, second)] {
                world.act(&Action::Start(who));
                world.act(&Action::Append(who, 10));
                world.act(&Action::Kill(who, calls));
                world.act(&Action::Revoke(who));
            }
            world.act(&Action::Crash);
            world.check();
        }
    }
}

/// Each call from opening the archive to the second file under its name fails in turn, with the machine
/// going on or stopping behind it.
#[test]
fn every_call_fails_once() {
    let ways = [(Errno::NOSPC, false), (Errno::NOSPC, true), (Errno::IO, false), (Errno::IO, true)];
    for ((errno, takes_effect), stops) in
        ways.into_iter().flat_map(|way| [(way, false), (way, true)])
    {
        let mut struck = 0;
        loop {
            let mut world = World::new(struck + 1, (0..LOG_END).collect());
            let fault = FailOnce { after: struck, errno, takes_effect };
            world.disk.lock().unwrap().fail_once(fault);
            for _ in 0..2 {
                world.act(&Action::Start(0));
                world.act(&Action::Append(0, 30));
                world.act(&Action::Revoke(0));
                world.check();
            }
            if world.disk.lock().unwrap().is_to_fail() {
                break;
            }
            if stops {
                world.act(&Action::Crash);
                world.check();
            }
            world.act(&Action::Start(0));
            while world.writers[0].cursor < LOG_END {
                world.act(&Action::Append(0, 100));
            }
            world.act(&Action::Revoke(0));
            world.check();
            assert_eq!(world.promised, LOG_END, "{fault:?}, and it stopped: {stops}");
            struck += 1;
        }
        assert!(struck > 40, "only {struck} calls in all");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn published_files_hold_each_record_exactly_once(
        seed in any::<u64>(),
        present in proptest::collection::vec(proptest::bool::weighted(0.8), LOG_END as usize),
        actions in actions(),
    ) {
        let log = (0..LOG_END).filter(|offset| present[*offset as usize]).collect();
        let mut world = World::new(seed, log);
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.act(&Action::Faults(0));
        world.act(&Action::Kill(1, 0));
        world.act(&Action::Start(0));
        while world.writers[0].cursor < LOG_END {
            world.act(&Action::Append(0, 100));
        }
        world.act(&Action::Revoke(0));
        world.check();
        let last = world.log.last().map_or(0, |last| last + 1);
        prop_assert!(world.promised >= last, "up to {} of {last}", world.promised);
    }
}
