//! Looks after a group: a partition that no member owns is given to one again.
//!
//! A static member that is killed after its partitions were taken from it, and before it joined
//! anew to let them go to somebody else, comes back to a group that believes itself complete: the
//! coordinator hands it the assignment of before without a rebalance, and nobody else asks for one.
//! The same befalls partitions that are added while the group's leader is such a member. A
//! rebalance is all it takes, so a member without a name joins for a moment. It refuses to read or
//! to commit anything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use opentelemetry::metrics::Meter;
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;

use crate::admin::{AdminError, admin, is_mock};
use crate::client::Quiet;
use crate::connection::Connection;
use crate::events::NotOwned;
use crate::pipe::{Late, StuckHook, Watch, member, subscribed};
use crate::stop::Stop;

/// A group and the topic it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Group id.
    pub name: String,
    /// Topic.
    pub topic: String,
}

/// How often is looked; what is seen twice in a row is acted on.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Patience with one answer of the broker.
const ASK: Duration = Duration::from_secs(5);
/// Patience with the rebalance: members hand over within their revoke time-out, or are put out.
const REBALANCE_WAIT: Duration = Duration::from_secs(60);
/// One wait for the visitor's events: a stop is seen within it.
const POLL: Duration = Duration::from_millis(50);

/// A visit that takes longer hangs in a call: leaving needs no more than a few answers.
const VISIT_LIMIT: Duration = Duration::from_secs(120);

/// Looks after `groups` until `stop`; a broker that does not answer is asked again. `on_stuck` ends the
/// process when a call of a visit hangs.
pub fn look_after(
    connection: &Connection,
    groups: &[Group],
    session: Duration,
    meter: &Meter,
    on_stuck: &StuckHook,
    stop: &Stop,
) -> Result<(), AdminError> {
    let hook = on_stuck.clone();
    let (watch, _watching) = Watch::start(move |call, _| hook.0(call));
    let asked = meter
        .u64_counter("tidegate.group.rebalances.asked")
        .with_description("Times a group was made to rebalance: nobody owned some partitions")
        .build();
    let admin = admin(connection)?;
    let mut seen: Vec<BTreeSet<i32>> = vec![BTreeSet::new(); groups.len()];
    let mut mock = None;
    while !stop.sleep(LOOK_EVERY) {
        // The mock broker does not describe groups.
        mock = mock.or_else(|| is_mock(admin.inner(), ASK));
        if mock != Some(false) {
            continue;
        }
        for (group, seen) in groups.iter().zip(&mut seen) {
            let now = look(admin.inner(), group).unwrap_or_else(|reason| {
                tracing::debug!(group = group.name, reason, "the group was not described");
                BTreeSet::new()
            });
            let before = std::mem::replace(seen, now);
            if seen.is_empty() || *seen != before {
                continue;
            }
            NotOwned { group: &group.name, partitions: seen }.emit(&asked);
            let guard = watch.enter("visit of a group", VISIT_LIMIT, Late::EndProcess);
            let visited = visit(connection, group, session, stop);
            drop(guard);
            if let Err(reason) = visited {
                tracing::warn!(group = group.name, reason, "the group did not rebalance");
            }
            seen.clear();
        }
    }
    Ok(())
}

/// Partitions of the topic that no member of the group owns; none while it rebalances or is empty.
///
/// By librdkafka's `list_groups`: an assertion of its newer `DescribeConsumerGroups` ends the process
/// when the coordinator goes away at the wrong moment (2.12).
fn look(client: &Client<Quiet>, group: &Group) -> Result<BTreeSet<i32>, String> {
    let asked =
        client.fetch_group_list(Some(&group.name), ASK).map_err(|error| error.to_string())?;
    let stable = asked.groups().iter().find(|found| found.name() == group.name);
    let Some(stable) = stable.filter(|found| found.state() == "Stable") else {
        return Ok(BTreeSet::new());
    };
    let members = stable.members().iter();
    let owned = members.flat_map(|member| owned(member.assignment().unwrap_or(&[]), &group.topic));
    let owned: BTreeSet<i32> = owned.collect();
    let metadata =
        client.fetch_metadata(Some(&group.topic), ASK).map_err(|error| error.to_string())?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == group.topic);
    let partitions = topic.into_iter().flat_map(|topic| topic.partitions()).map(|each| each.id());
    Ok(partitions.filter(|number| !owned.contains(number)).collect())
}

/// Partitions of `topic` in a member's assignment, as the consumer protocol writes it: a version,
/// then each topic's name with its partitions. What is cut short holds none from there on.
fn owned(assignment: &[u8], topic: &str) -> Vec<i32> {
    let mut left = assignment;
    let mut found = Vec::new();
    // The layout is the same in all versions.
    let _ = short(&mut left);
    for _ in 0..long(&mut left).unwrap_or(0) {
        let Some(name) = short(&mut left).and_then(|length| take(&mut left, length.into())) else {
            break;
        };
        for _ in 0..long(&mut left).unwrap_or(0) {
            let Some(number) = long(&mut left) else { break };
            if name == topic.as_bytes() {
                found.push(number as i32);
            }
        }
    }
    found
}

fn take<'a>(left: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(taken)
}

fn short(left: &mut &[u8]) -> Option<u16> {
    take(left, 2).map(|bytes| u16::from_be_bytes(bytes.try_into().expect("two bytes")))
}

fn long(left: &mut &[u8]) -> Option<u32> {
    take(left, 4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
}

/// Joins for as long as the group takes to rebalance, and leaves.
fn visit(
    connection: &Connection,
    group: &Group,
    session: Duration,
    stop: &Stop,
) -> Result<(), String> {
    let visitor = subscribed(&member(connection, &group.name, session), &group.topic)
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + REBALANCE_WAIT;
    let rebalanced = loop {
        // Nothing is ever assigned, so nothing is ever read.
        if let Some(Err(error)) = visitor.poll(POLL) {
            tracing::debug!(group = group.name, %error, "visitor");
        }
        // Answered even so: dropping a consumer that owes an answer never ends.
        if visitor.context().decline_next(&visitor) {
            break Ok(());
        }
        if stop.is_raised() || Instant::now() >= deadline {
            break Err(format!("no rebalance within {} s", REBALANCE_WAIT.as_secs()));
        }
    };
    visitor.context().close(&visitor);
    rebalanced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend((topics.len() as u32).to_be_bytes());
        for (name, numbers) in topics {
            bytes.extend((name.len() as u16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((numbers.len() as u32).to_be_bytes());
            numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn what_a_member_owns() {
        let whole = assignment(&[("other", &[7]), ("in", &[0, 3])]);
        let check = |bytes: &[u8], expected: &[i32]| assert_eq!(owned(bytes, "in"), expected);
        check(&whole, &[0, 3]);
        check(&assignment(&[("in", &[])]), &[]);
        check(&assignment(&[]), &[]);
        check(&[], &[]);
        // Cut short anywhere it neither panics nor invents; a wrong count does not hang either.
        (0..whole.len()).for_each(|end| assert!(owned(&whole[..end], "in").len() <= 2));
        check(&[0, 1, 0xff, 0xff, 0xff, 0xff], &[]);
    }
}
