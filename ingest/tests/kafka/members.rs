//! Several processes in one group: joining, leaving, twins, and an input with aborted transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ingest::members::look_after;
use ingest::{Group, Stop, StuckHook};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::{Chance, LIMIT, Stage, Tally, kafka};

/// Feeds ids in transactions of 200; each is followed by one of junk that is aborted.
fn feed_with_gaps(stage: &Stage, ids: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &stage.brokers)
        .set("transactional.id", format!("{}-feed", stage.name))
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let input = stage.input();
    let send = |value: &str| {
        let record = BaseRecord::<str, str>::to(&input).key(value).payload(value);
        producer.send(record).unwrap();
    };
    for from in (0..ids).step_by(200) {
        producer.begin_transaction().unwrap();
        (from..(from + 200).min(ids)).for_each(|id| send(&format!("{id:09}")));
        producer.commit_transaction(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        (0..20).for_each(|_| send("junk"));
        producer.flush(LIMIT).unwrap();
        producer.abort_transaction(LIMIT).unwrap();
    }
}

#[test]
fn members_join_leave_and_die_over_an_input_with_aborted_transactions() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "members", 6), 60_000);
    let mut chance = Chance::new(21);
    thread::scope(|scope| {
        scope.spawn(|| feed_with_gaps(&stage, ids));
        let mut members: Vec<_> =
            (0..2).map(|each| Some(stage.start(&format!("m{each}"), &[]))).collect();
        members.push(None);
        for _ in 0..14 {
            chance.pause(300, 1500);
            let each = chance.below(3) as usize;
            members[each] = match members[each].take() {
                None => Some(stage.start(&format!("m{each}"), &[])),
                Some(mut member) if chance.below(2) == 0 => {
                    member.kill();
                    None
                }
                Some(member) => {
                    assert_eq!(member.stop().0, 0);
                    None
                }
            };
        }
    });
    let last = [stage.start("m0", &[]), stage.start("m1", &[])];
    stage.wait_until_done();
    for member in last {
        assert_eq!(member.stop().0, 0);
    }
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

#[test]
fn a_twin_replaces_the_first_which_says_so_and_ends() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "twin", 2), 40_000);
    let mut first = stage.start("same", &[]);
    stage.feed(0, ids / 2);
    thread::sleep(Duration::from_secs(2));
    let second = stage.start("same", &[]);
    thread::sleep(Duration::from_secs(1));
    stage.feed(ids / 2, ids);
    stage.wait_until_done();
    assert_eq!(first.wait().0, 7, "the first must end as replaced");
    assert_eq!(second.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

#[test]
fn a_member_that_was_stopped_for_longer_than_its_session_comes_back() {
    let Some(brokers) = kafka() else { return };
    let (stage, ids) = (Stage::new(brokers, "frozen", 4), 40_000);
    let (frozen, other) = (stage.start("frozen", &[]), stage.start("other", &[]));
    stage.feed(0, ids / 2);
    thread::sleep(Duration::from_secs(2));
    signal(frozen.id(), "STOP");
    stage.feed(ids / 2, ids);
    thread::sleep(Duration::from_secs(9));
    signal(frozen.id(), "CONT");
    stage.wait_until_done();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(other.stop().0, 0);
    assert_eq!(frozen.stop().0, 0);
    assert_eq!(stage.tally(ids), Tally::EXACT);
}

fn signal(process: u32, name: &str) {
    let sent =
        std::process::Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A member of the group that asks for new partitions never, and is polled until `stop`; says how many it owns.
fn member(stage: &Stage, stop: &Stop, owns: &AtomicUsize) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &stage.brokers)
        .set("group.id", &stage.name)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("topic.metadata.refresh.interval.ms", "-1")
        .create()
        .unwrap();
    consumer.subscribe(&[&stage.input()]).unwrap();
    while !stop.is_raised() {
        let _ = consumer.poll(Duration::from_millis(50));
        owns.store(consumer.assignment().unwrap().count(), Ordering::Relaxed);
    }
}

/// Two members take both partitions, so the visitor who asked for the rebalance is given none.
#[test]
fn a_partition_that_nobody_owns_is_given_away_by_a_visitor_who_owns_none() {
    let Some(brokers) = kafka() else { return };
    let stage = Stage::new(brokers, "visitor", 1);
    let (stop, group) = (Stop::new(), Group { name: stage.name.clone(), topic: stage.input() });
    let (told, ended) = std::sync::mpsc::sync_channel(1);
    let owned = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        for owns in &owned {
            let (stage, stop) = (&stage, &stop);
            scope.spawn(move || member(stage, stop, owns));
        }
        thread::sleep(Duration::from_secs(6));
        stage.add_partitions(2);
        let (connection, stop_of_it) = (stage.connection(), stop.clone());
        // Not joined: a visitor that hangs must fail the test, not hang it.
        thread::spawn(move || {
            let meter = opentelemetry::global::meter("test");
            let stuck = StuckHook(Arc::new(|_| {}));
            let session = Duration::from_secs(6);
            let groups = [group];
            told.send(look_after(&connection, &groups, session, &meter, &stuck, &stop_of_it))
                .unwrap();
        });
        // Seen twice, five seconds apart, and a rebalance.
        let until = Instant::now() + Duration::from_secs(60);
        let owned = || owned.each_ref().map(|owns| owns.load(Ordering::Relaxed));
        while owned() != [1, 1] && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        let at_last = owned();
        stop.raise();
        assert_eq!(at_last, [1, 1]);
    });
    ended.recv_timeout(Duration::from_secs(15)).expect("the visitor left").unwrap();
}
