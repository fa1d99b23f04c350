//! `tidegate produce`: a file or standard input to a topic, at a rate or flat out.

use std::ops::ControlFlow;

use anyhow::Context as _;
use ingest::{AdminError, Connection, CreateTopic};

use crate::cli::ProduceArgs;
use crate::events;
use crate::exit::{self, Exit};
use crate::feed::Feed;
use crate::pipeline::ASK;
use crate::progress::Progress;

pub(crate) fn run(args: &ProduceArgs) -> anyhow::Result<Exit> {
    if args.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        let message = "--rate: must be above 0";
        return Err(exit::usage(message));
    }
    ingest::tune_allocator();
    let mut properties = super::properties(&args.property)?;
    properties.entry("compression.type".into()).or_insert_with(|| args.compression.clone());
    let connection =
        Connection { brokers: args.brokers.clone(), properties, instance: "produce".into() };
    topic_exists(&connection, args)?;
    let mut feed = Feed::new(&connection, &args.topic, args.rate, args.key.clone())?
        .with_headers(super::named("--header", &args.header)?);
    let mut progress = Progress::start("records", args.limit);
    let fed = push_all(&mut feed, args, &mut progress);
    let sent = feed.sent();
    feed.finish()?;
    let (records, took) = progress.finish();
    fed.with_context(|| match sent {
        0 => "nothing was sent".to_owned(),
        _ => format!("{sent} records before it were sent to {} and acknowledged", args.topic),
    })?;
    let rate = records as f64 / took.as_secs_f64().max(1e-9);
    eprintln!(
        "{records} records to {} in {:.1} s, {rate:.0}/s, all acknowledged",
        args.topic,
        took.as_secs_f64()
    );
    Ok(Exit::Fine)
}

/// Pushes the events, again and again as asked, up to the limit.
fn push_all(feed: &mut Feed, args: &ProduceArgs, progress: &mut Progress) -> anyhow::Result<()> {
    let limit = args.limit.unwrap_or(u64::MAX);
    for _ in 0..args.repeat {
        if feed.sent() >= limit {
            break;
        }
        events::for_each(args.file.as_deref(), &mut |event| {
            feed.push(event)?;
            progress.add(1);
            Ok(if feed.sent() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    Ok(())
}

fn topic_exists(connection: &Connection, args: &ProduceArgs) -> anyhow::Result<()> {
    match (ingest::topic_info(connection, &args.topic, ASK), args.create) {
        (Ok(_), _) => Ok(()),
        (Err(AdminError::NoTopic(_)), Some(partitions)) => {
            let new = CreateTopic {
                name: args.topic.clone(),
                partitions,
                replication: -1,
                settings: vec![],
            };
            Ok(ingest::create_topic(connection, &new, ASK)?)
        }
        (Err(AdminError::NoTopic(_)), None) => anyhow::bail!(
            "topic {:?} does not exist: create it, or say --create PARTITIONS",
            args.topic
        ),
        (Err(error), _) => Err(error.into()),
    }
}
