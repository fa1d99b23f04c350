//! Processes that die at every step of publishing, at random, and beside each other: what they
//! leave is every record exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use batch::positions::{Seen, scan};
use batch::{Archive, ArchiveConfig, Table, TopicIdentity, topic_folder};
use schemas::MicroBatch;

const ROOT: &str = "TIDEGATE_TEST_ROOT";
const INSTANCE: &str = "TIDEGATE_TEST_INSTANCE";
const END: i64 = 30_000;

/// The process that the other tests start and kill: archives positions 0..END of partition 0.
#[test]
#[ignore = "started by the other tests"]
fn pump() {
    let root = std::env::var(ROOT).expect("the parent says where");
    let mut config = ArchiveConfig::new(root.into(), "results", &std::env::var(INSTANCE).unwrap());
    (config.roll_rows, config.row_group_bytes) = (900, 8 << 10);
    let schema = Arc::new(Schema::new(vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
    ]));
    let of = schema.clone();
    let table = Table::new(schema, "pump", move |batch| {
        let partitions: Int32Array = batch.records().iter().map(|r| Some(r.partition)).collect();
        let offsets: Int64Array = batch.records().iter().map(|r| Some(r.offset)).collect();
        RecordBatch::try_new(of.clone(), vec![Arc::new(partitions), Arc::new(offsets)]).unwrap()
    });
    let topic =
        TopicIdentity { cluster_id: "c".into(), topic: "scored".into(), topic_id: "t".into() };
    let mut archive = Archive::open(config, topic, table, SystemTime::now()).unwrap();
    loop {
        let mut cursor = archive.position(0).unwrap().unwrap_or(0);
        if cursor == END {
            return;
        }
        let mut lost = false;
        while cursor < END && !lost {
            let mut batch = MicroBatch::with_capacity("scored".into(), 100, 0);
            (cursor..END.min(cursor + 100))
                .for_each(|at| batch.push(0, at, 0, None, None).unwrap());
            lost = !archive.append(&batch, Instant::now()).unwrap().lost.is_empty();
            cursor += 100;
        }
        let _ = archive.finish().unwrap();
    }
}

fn start(root: &Path, instance: &str, failpoint: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "killed::pump"]).env(ROOT, root).env(INSTANCE, instance);
    command.env("TIDEGATE_FAILPOINT", failpoint);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().unwrap()
}

fn run(root: &Path, failpoint: &str) -> ExitStatus {
    start(root, "a", failpoint).wait().unwrap()
}

/// Rows archived, each of 0..rows exactly once.
fn archived(root: &Path) -> i64 {
    let mut next = 0;
    let folder = topic_folder(root, "results", "scored");
    let ends = scan(&folder, &BTreeMap::new(), &mut |seen| {
        if let Seen::Rows(rows) = seen {
            for offset in rows.offset.values() {
                assert_eq!(*offset, next, "lost or doubled");
                next += 1;
            }
        }
    });
    assert!(ends.unwrap().values().all(|end| *end == next));
    next
}

fn temporaries(root: &Path) -> usize {
    std::fs::read_dir(root.join(".tidegate-tmp/results/scored")).unwrap().count()
}

#[test]
fn dying_at_any_step_loses_and_doubles_nothing() {
    let steps = [
        "archive.created",
        "archive.row_group_written",
        "archive.before_close",
        "archive.before_sync",
        "archive.before_publish",
        "archive.published",
        "archive.dir_synced",
    ];
    let mut published = BTreeMap::new();
    for step in steps {
        for count in [1, 4] {
            let root = tempfile::tempdir().unwrap();
            let died = run(root.path(), &format!("{step}={count}"));
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&died), Some(6), "{step}");
            published.insert((step, count), archived(root.path()));
            assert!(run(root.path(), "").success(), "{step}: the restart");
            assert_eq!(archived(root.path()), END, "{step}");
            assert_eq!(temporaries(root.path()), 0, "{step}: temporaries are swept");
        }
    }
    assert_eq!(published[&("archive.before_publish", 4)], 2700);
    assert_eq!(published[&("archive.published", 4)], 3600);
}

#[test]
fn kill_9_at_random_instants() {
    let root = tempfile::tempdir().unwrap();
    let (mut kills, mut random) = (0, 0x5eed_u64);
    loop {
        let mut child = start(root.path(), "a", "");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros(4000 + (random >> 33) % 30_000));
        let _ = child.kill();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        if topic_folder(root.path(), "results", "scored").exists() {
            archived(root.path());
        }
        assert!(kills < 2000, "no progress under kills");
    }
    assert_eq!(archived(root.path()), END);
    assert!(kills > 0, "nothing was killed: the log is too short");
}

#[test]
fn racing_processes_share_one_chain() {
    let root = tempfile::tempdir().unwrap();
    let racers: Vec<Child> =
        ["a", "b", "c"].map(|instance| start(root.path(), instance, "")).into();
    for mut racer in racers {
        assert!(racer.wait().unwrap().success());
    }
    assert_eq!(archived(root.path()), END);
    assert_eq!(temporaries(root.path()), 0);
}
