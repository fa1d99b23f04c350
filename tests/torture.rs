//! The long run of faults: `make torture`. Rounds of a minute (45 s of faults, then counting), each a pipeline
//! of its own under random faults drawn from a seed of its own, the one of the round before and one more, and
//! closed by `verify` and by counts apart from it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::faults::{PLACES, ended_at_its_place};
use crate::harness::{
    Broker, Child, Dice, Pipeline, SmallDisk, each_once_as_it_came, ended_with, seed,
};

/// Length of the whole run, unless `TIDEGATE_TORTURE_MINUTES` says otherwise.
const MINUTES: u64 = 10;
/// What [`Child::terminate`] sends.
const SIGTERM: i32 = 15;
/// How long faults happen in a round.
const ROUND: Duration = Duration::from_secs(45);
const RATE: u64 = 10_000;
/// Events a second that cannot be scored.
const BAD_RATE: u64 = 500;
/// The archive's disk, in MiB: a round needs 50 at most.
const DISK: usize = 192;
/// What is left of it when it is full: not enough for a file of a second.
const ROOM: usize = 20_000;
/// How long it stays full.
const FULL: Duration = Duration::from_secs(3);
/// After the faults, everything is scored and archived within this.
const SETTLED: &str = "100";
/// Past the tests' session time-out of 3 s, so that the others take over.
const FROZEN: Duration = Duration::from_millis(4_500);

/// What may happen; those that stand here more often happen more often.
const FAULTS: [Fault; 17] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Step,
    Fault::Step,
    Fault::Step,
    Fault::Leave,
    Fault::Leave,
    Fault::Freeze,
    Fault::FullDisk,
    Fault::RestartBroker,
    Fault::KillBroker,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL, and started again.
    Kill,
    /// Ends itself at a named place, and is started again.
    Step,
    /// SIGTERM, drained, and started again.
    Leave,
    /// SIGSTOP past its session, then SIGCONT.
    Freeze,
    /// No space for the archive for a while, then space again.
    FullDisk,
    RestartBroker,
    KillBroker,
}

/// One process of the group, in its present life.
struct Member {
    name: String,
    child: Child,
}

impl Member {
    fn start(pipeline: &Pipeline, name: String) -> Self {
        let child = pipeline.run(&name);
        Self { name, child }
    }
}

#[test]
#[ignore = "takes minutes: make torture"]
fn torture() {
    let minutes = std::env::var("TIDEGATE_TORTURE_MINUTES")
        .map_or(MINUTES, |text| text.parse().expect("a number of minutes"));
    let Some(broker) = Broker::start() else { return };
    let Some(disk) = SmallDisk::mount(DISK) else { return };
    let first = seed();
    let (begun, mut round, mut total) = (Instant::now(), 0, BTreeMap::new());
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        // A later round can be repeated as the first one of a run.
        let seed = first + round;
        round += 1;
        eprintln!("round {round}: repeat it with TIDEGATE_TEST_SEED={seed}");
        let mut dice = Dice::new(seed);
        let partitions = *dice.pick(&[1, 4, 12]);
        let members = *dice.pick(&[1, 2, 3]);
        let (good, bad, faults) = one_round((&broker, &disk), &mut dice, partitions, members);
        eprintln!(
            "round {round}: {partitions} partitions, {members} processes, {faults:?}: \
             {good} results and {bad} dead letters, each event exactly once in topics and Parquet"
        );
        for (fault, times) in faults {
            *total.entry(fault).or_insert(0) += times;
        }
    }
    eprintln!("{round} rounds in {:?}: {total:?}", begun.elapsed());
}

fn one_round(
    ends: (&Broker, &SmallDisk),
    dice: &mut Dice,
    partitions: i32,
    members: usize,
) -> (u64, u64, BTreeMap<Fault, u32>) {
    let (broker, disk) = ends;
    let pipeline = Pipeline::new(broker, "torture", &[]).with_partitions(partitions).on(disk);
    let (good, bad) = (RATE * ROUND.as_secs(), BAD_RATE * ROUND.as_secs());
    let mut producers =
        [pipeline.produce(good, Some(RATE)), pipeline.produce_bad(bad, Some(BAD_RATE))];
    let names = ["a", "b", "c"].map(str::to_owned).into_iter().take(members);
    let mut group: Vec<Member> = names.map(|name| Member::start(&pipeline, name)).collect();
    let (begun, mut happened) = (Instant::now(), BTreeMap::new());
    while begun.elapsed() < ROUND {
        std::thread::sleep(
            Duration::from_millis(300) + Duration::from_secs(1).mul_f64(dice.share()),
        );
        let fault = *dice.pick(&FAULTS);
        let chosen = (dice.share() * group.len() as f64) as usize;
        let member = &mut group[chosen];
        assert!(member.child.running(), "{} ended by itself:\n{}", member.name, member.child.log());
        if strike(fault, ends, dice, &pipeline, member) {
            *happened.entry(fault).or_insert(0) += 1;
        }
    }
    for producer in &mut producers {
        assert!(producer.wait(Duration::from_secs(120)).success(), "{}", producer.log());
    }
    let verified = pipeline.command(&["verify"], &["--wait", SETTLED]);
    if !verified.status.success() {
        group.iter().for_each(|member| eprintln!("{}:\n{}", member.name, member.child.log()));
    }
    ended_with(&verified, 0);
    each_once_as_it_came(&pipeline, good, bad);
    for member in &mut group {
        member.child.terminate();
        let ended = member.child.wait(Duration::from_secs(30));
        assert!(ended.success(), "{}", member.child.log());
    }
    (good, bad, happened)
}

/// Answers whether it came to it: a member without partitions passes no place.
fn strike(
    fault: Fault,
    (broker, disk): (&Broker, &SmallDisk),
    dice: &mut Dice,
    pipeline: &Pipeline,
    member: &mut Member,
) -> bool {
    match fault {
        Fault::Kill => {
            member.child.kill();
            member.child = pipeline.run(&member.name);
        }
        Fault::Step => {
            member.child.kill();
            let (place, count) = (*dice.pick(&PLACES), *dice.pick(&[1, 2, 5]));
            let mut stepping = pipeline.run_until(&member.name, place, count);
            let passed = ended_at_its_place(&mut stepping, Duration::from_secs(4));
            stepping.kill();
            member.child = pipeline.run(&member.name);
            return passed;
        }
        Fault::Leave => {
            member.child.terminate();
            let left = member.child.wait(Duration::from_secs(30));
            // A broker that was away may have used up the grace of 20 s.
            let grace_is_over = member.child.whole_log().contains("grace_seconds are over");
            // It had just begun, and nobody listened to the signal yet.
            let is_too_early = left.signal() == Some(SIGTERM);
            assert!(left.success() || grace_is_over || is_too_early, "{}", member.child.log());
            member.child = pipeline.run(&member.name);
            return left.success();
        }
        Fault::Freeze => {
            member.child.freeze();
            std::thread::sleep(FROZEN);
            member.child.thaw();
        }
        Fault::FullDisk => {
            disk.fill_but(ROOM);
            std::thread::sleep(FULL);
            disk.empty();
        }
        Fault::RestartBroker => broker.restart(),
        Fault::KillBroker => {
            broker.kill();
            broker.start_again();
        }
    }
    true
}
