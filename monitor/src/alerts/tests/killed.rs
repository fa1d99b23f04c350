//! kill -9 between any two steps: a process is killed while a receiver holds its answer back, and
//! at random instants; what receivers hear in the end is what they hear undisturbed.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const STATE: &str = "TIDEGATE_TEST_STATE";
const RECEIVERS: &str = "TIDEGATE_TEST_RECEIVERS";
const WINDOWS: i64 = 16;

/// The process that is killed: judges all windows from the first one on, whatever was judged
/// before, and delivers until nothing waits.
#[test]
#[ignore = "started by the other tests"]
fn monitor() {
    let state = std::env::var(STATE).expect("the parent says where");
    let receivers = std::env::var(RECEIVERS).expect("the parent says to whom");
    let clock: Clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
    let routes = receivers.split(' ').zip(["ops", "hook"]).map(|(url, name)| Route {
        name: name.into(),
        target: Target::Webhook { url: Secret::new(url), keys: vec![], headers: vec![] },
        events: vec![Event::Alerts],
        min_severity: Severity::Info,
        classes: vec![],
        models: vec![],
        then: None,
    });
    let hand = Hand::at(0);
    let settings = Settings { clock, ..settings(Path::new(&state), &hand, routes.collect()) };
    let alerts = Alerts::open(settings).expect("the state opens");
    for hours in 0..WINDOWS {
        // On for two windows, off for two; two classes, one after the other.
        let value = |shift: i64| if (hours + shift) % 4 < 2 { 0.3 } else { 0.0 };
        alerts.judge(&window(hours, "psi", value(0)), &[]).expect("it is stored");
        alerts.judge(&window(hours, "nulls", value(1)), &[]).expect("it is stored");
        alerts.deliver_due().expect("it is stored");
    }
    while alerts.outbox().expect("the state is fine").waiting > 0 {
        alerts.deliver_due().expect("it is stored");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(state: &Path, receivers: [&Receiver; 2]) -> Child {
    let urls = receivers.map(|receiver| receiver.url("/")).join(" ");
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "alerts::tests::killed::monitor"])
        .env(STATE, state)
        .env(RECEIVERS, urls)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn run_to_the_end(state: &Path, receivers: [&Receiver; 2]) {
    assert!(start(state, receivers).wait().expect("it was started").success());
}

/// What was heard, each message once, in the order of its first arrival.
fn heard(receiver: &Receiver) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids(&receiver.received()).into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// The order of messages within each episode.
fn by_episode(receiver: &Receiver) -> BTreeSet<Vec<String>> {
    let mut episodes = BTreeMap::<String, Vec<String>>::new();
    for one in receiver.received() {
        let episode = one.json()["data"]["episode"].to_string();
        let id = one.header("webhook-id").unwrap_or_default().to_owned();
        let messages = episodes.entry(episode).or_default();
        if !messages.contains(&id) {
            messages.push(id);
        }
    }
    episodes.into_values().collect()
}

fn undisturbed() -> (Vec<String>, BTreeSet<Vec<String>>) {
    let (folder, ops, hook) = (tempfile::tempdir().unwrap(), Receiver::fine(), Receiver::fine());
    run_to_the_end(&folder.path().join("s"), [&ops, &hook]);
    assert_eq!(heard(&ops), heard(&hook));
    assert_eq!(heard(&ops).len(), ops.received().len(), "undisturbed, nothing is said twice");
    assert_eq!(heard(&ops).len(), 17, "two classes, four times on and off, less one end");
    (heard(&ops), by_episode(&ops))
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn killed_between_sending_and_writing_down_nothing_is_lost() {
    let (expected, order) = undisturbed();
    for nth in [0, 1, 2, 7, 16] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s");
        let hook = Receiver::fine();
        let fine = std::iter::repeat_n(FINE, nth);
        let ops = Receiver::start(fine, Answer::Hang(Duration::from_secs(60)));
        let mut child = start(&state, [&ops, &hook]);
        let started = Instant::now();
        while ops.received().len() <= nth {
            assert!(started.elapsed() < Duration::from_secs(30), "message {nth} never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("it runs");
        child.wait().expect("it was started");
        ops.then_answer(FINE);
        run_to_the_end(&state, [&ops, &hook]);
        assert_eq!(sorted(heard(&ops)), sorted(expected.clone()), "killed at {nth}");
        assert_eq!(by_episode(&ops), order, "killed at {nth}");
        assert_eq!(ops.received().len(), expected.len() + 1, "the one on its way, twice");
        assert_eq!(sorted(heard(&hook)), sorted(expected.clone()), "killed at {nth}");
    }
}

#[test]
fn killed_at_random_nothing_is_lost() {
    let (expected, order) = undisturbed();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut at_work, mut said) = (0, 0);
    for round in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s");
        let (ops, hook) = (Receiver::fine(), Receiver::fine());
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut child = start(&state, [&ops, &hook]);
            // A while after so many messages: how fast they come is the machine's business.
            let messages = heard(&ops).len() + (random >> 32) as usize % expected.len();
            let begun = Instant::now();
            while heard(&ops).len() < messages && child.try_wait().expect("it is ours").is_none() {
                assert!(begun.elapsed() < Duration::from_secs(60), "round {round}: nothing comes");
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(random % 10));
            child.kill().expect("a child that ended can be killed, too");
            child.wait().expect("it was started");
            at_work += usize::from((1..expected.len()).contains(&heard(&ops).len()));
        }
        run_to_the_end(&state, [&ops, &hook]);
        for receiver in [&ops, &hook] {
            assert_eq!(sorted(heard(receiver)), sorted(expected.clone()), "round {round}");
            assert_eq!(by_episode(receiver), order, "round {round}");
        }
        said += ops.received().len();
    }
    eprintln!("{at_work} of 36 kills at work, {said} messages for {}", 12 * expected.len());
    assert!(at_work >= 3, "{at_work} kills came while it was delivering");
}
