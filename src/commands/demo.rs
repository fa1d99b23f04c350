//! `tidegate demo`: real flights through the whole pipeline on an embedded broker, and what the monitor
//! then tells whoever is on call.
//!
//! The broker is librdkafka's mock: it shows the flow, not the guarantee. Each topic stays below
//! the 5 MB a partition that it keeps.

mod on_call;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use batch::source;
use batch::sql::{Format, Session};
use batch::topic_folder;
use ingest::{Connection, Mock, PipeEvents, Stop};
use opentelemetry::global;
use prometheus::Registry;
use serde_json::Value;

use crate::cli::DemoArgs;
use crate::config::{self, Config};
use crate::events;
use crate::exit::Exit;
use crate::feed::Feed;
use crate::health::Health;
use crate::hops::{self, ArchiveOf};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::telemetry;
use crate::verify::{self, Claim};
use on_call::OnCall;

/// Partitions of the demo's topics.
const PARTITIONS: i32 = 2;

/// Every so many events one is cut in half, so that the dead letters have something to show.
const DAMAGE_EVERY: usize = 1_000;

/// The pipeline has this long to score what was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The monitor has this long to find the drift of a year, and a message to arrive.
const ALARM: Duration = Duration::from_secs(30);

/// What comes so soon after an alarm is part of it.
const MORE: Duration = Duration::from_secs(2);

/// Signs the demo's messages on their way within this machine.
const SECRET: &str = "whsec_dGhlIGRlbW8gb2YgdGlkZWdhdGUgaXMgbm8gc2VjcmV0";

/// Thirty days: enough of the demo's flights for a window.
const WINDOW_SECONDS: u32 = 30 * 86_400;

/// First questions to the archive.
const QUERY: &str = "SELECT carrier, count(*) AS flights, \
    round(avg(dep_delay), 1) AS avg_dep_delay, round(avg(prediction_arr_delay), 1) AS avg_predicted_arr_delay \
    FROM results GROUP BY carrier ORDER BY flights DESC LIMIT 8";
const DEAD_QUERY: &str =
    "SELECT stage, reason, count(*) AS events FROM dead_letters GROUP BY stage, reason";

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let log = std::env::var("TIDEGATE__TELEMETRY__LOG");
    telemetry::init_logs(
        log.as_deref().unwrap_or("warn,librdkafka=error"),
        config::LogFormat::Text,
    );
    ingest::tune_allocator();
    anyhow::ensure!(args.rate > 0.0 && args.rate.is_finite(), "--rate: must be above 0");
    let flights = events::sample(&args.assets.join("flights.parquet"), usize::MAX).context(
        "the demo's assets are in deploy/demo of the repository; name them with --assets",
    )?;
    let mut out = std::io::stdout().lock();
    let mock = Mock::start().context("starting the embedded broker")?;
    let temporary = tempfile::tempdir().context("making a folder for the archive")?;
    let archive = args.keep.as_deref().unwrap_or_else(|| temporary.path());
    let on_call = OnCall::start(SECRET)?;
    let config = configure(&args.assets, &mock.brokers(), archive, &on_call.url)?;
    let pipeline = Arc::new(Pipeline::open(config)?);
    let Config { input, output, dead_letters, .. } = &pipeline.config;
    for topic in [&input.topic, &output.topic, &dead_letters.topic] {
        mock.create_topic(topic, PARTITIONS).with_context(|| format!("creating topic {topic}"))?;
    }
    writeln!(
        out,
        "{} flights of 2013 → topic {} → {} {} → topic {} → Parquet",
        flights.len(),
        input.topic,
        pipeline.package.name(),
        pipeline.package.version(),
        output.topic
    )?;
    let started = Instant::now();
    replay(&pipeline, &flights, args.rate)?;
    writeln!(out, "scored and archived in {:.1} s\n", started.elapsed().as_secs_f64())?;
    let verdict = verify::verify(&claim(&pipeline))?;
    writeln!(out, "{verdict}\n")?;
    let session = Session::open(&super::sql::asked(&pipeline)?)?;
    for query in [QUERY, DEAD_QUERY] {
        writeln!(out, "tidegate sql -c \"{query}\"")?;
        session.query(query, &Format::Table, &mut out)?;
        writeln!(out)?;
    }
    watch(&pipeline, &on_call, &mut out)?;
    if let Some(kept) = &args.keep {
        writeln!(
            out,
            "The archive is in {}; any Parquet reader takes it as it is.",
            kept.display()
        )?;
    }
    let binary = std::env::current_exe().unwrap_or_default();
    writeln!(
        out,
        "The binary is {}. README.md says how to bring your own topic and model.",
        binary.display()
    )?;
    Ok(verdict.exit())
}

fn configure(
    assets: &Path,
    brokers: &str,
    archive: &Path,
    on_call: &str,
) -> anyhow::Result<Config> {
    let archive = std::path::absolute(archive).context("the archive's folder")?;
    let reference = std::path::absolute(assets.join("reference.parquet"))?;
    let sets = [
        format!("kafka.brokers={brokers}"),
        format!("archive.directory={}", archive.display()),
        "archive.roll_seconds=1".into(),
        "pipeline.instance=demo".into(),
        "output.create_topics=false".into(),
        format!("monitor.reference={}", reference.display()),
        format!("monitor.window_seconds={WINDOW_SECONDS}"),
        format!("monitor.slide_seconds={WINDOW_SECONDS}"),
        format!("monitor.previous_seconds={WINDOW_SECONDS}"),
        "monitor.pane_seconds=86400".into(),
        format!("alerts.state={}", archive.join("alerts.db").display()),
        "alerts.http.allow_private=[\"127.0.0.1\"]".into(),
        format!(
            "routes=[{{name=\"on-call\",kind=\"webhook\",url=\"{on_call}\",secrets=[\"{SECRET}\"]}}]"
        ),
    ];
    Ok(config::load(Some(&assets.join("tidegate.toml")), std::iter::empty(), &sets)?)
}

/// Runs the hops in threads, feeds them, waits until everything is committed, and drains them.
fn replay(pipeline: &Arc<Pipeline>, flights: &[Vec<u8>], rate: f64) -> anyhow::Result<()> {
    let counts = Arc::new(PipeEvents::new(&global::meter("tidegate"), "demo"));
    let (stop, health) = (Stop::new(), Health::default());
    std::thread::scope(|scope| {
        let score = scope.spawn(|| hops::score(pipeline, &counts, &health, &stop, Instant::now()));
        let archives = [ArchiveOf::Results, ArchiveOf::DeadLetters].map(|of| {
            (
                of,
                scope.spawn({
                    let (health, stop) = (&health, &stop);
                    move || hops::archive(pipeline, of, health, stop)
                }),
            )
        });
        let fed =
            feed(&pipeline.connection(), &pipeline.config.input.topic, flights, rate, &counts);
        let archived = wait_for_the_archive(pipeline);
        stop.raise();
        let scored = score.join().expect("hops do not panic");
        for (_, archive) in archives {
            archive.join().expect("hops do not panic")?;
        }
        scored.and(fed).and(archived)
    })
}

/// Waits until everything that was scored is published, for [`PATIENCE`]: what is missing then, `verify` says.
fn wait_for_the_archive(pipeline: &Pipeline) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    for of in [ArchiveOf::Results, ArchiveOf::DeadLetters] {
        while !is_archived(pipeline, of)? && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn is_archived(pipeline: &Pipeline, of: ArchiveOf) -> anyhow::Result<bool> {
    let topic = of.topic(pipeline);
    let info = ingest::topic_info(&pipeline.connection(), topic, PATIENCE)?;
    let folder = topic_folder(&pipeline.config.archive.directory, of.name(), topic);
    let files = source::files(&folder)?;
    for log in &info.partitions {
        let newest = files.get(&log.partition).and_then(|files| files.last());
        let end = newest.map(|(_, path)| source::position(path)).transpose()?.map(|it| it.end);
        if end.unwrap_or(0) < log.high {
            return Ok(false);
        }
    }
    Ok(true)
}

fn feed(
    connection: &Connection,
    topic: &str,
    flights: &[Vec<u8>],
    rate: f64,
    counts: &PipeEvents,
) -> anyhow::Result<()> {
    let mut feed = Feed::new(connection, topic, Some(rate), Some("id".into()))?;
    let mut progress = Progress::start("flights scored", Some(flights.len() as u64));
    let mut shown = 0;
    let mut show = |progress: &mut Progress| {
        let committed = counts.committed_records();
        progress.add(committed.saturating_sub(shown));
        shown = shown.max(committed);
        shown
    };
    for (index, flight) in flights.iter().enumerate() {
        match index % DAMAGE_EVERY {
            0 => feed.push_keyed(b"damaged", &flight[..flight.len() / 2])?,
            _ => feed.push(flight)?,
        }
        show(&mut progress);
    }
    feed.finish()?;
    let until = Instant::now() + PATIENCE;
    while show(&mut progress) < flights.len() as u64 {
        anyhow::ensure!(
            Instant::now() < until,
            "only {} of {} flights were scored within {PATIENCE:?}",
            counts.committed_records(),
            flights.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    progress.finish();
    Ok(())
}

/// Lets the monitor judge the year, and prints what a signed webhook hears of it.
fn watch(
    pipeline: &Pipeline,
    on_call: &OnCall,
    out: &mut impl std::io::Write,
) -> anyhow::Result<()> {
    let (stop, health, registry) = (Stop::new(), Health::default(), Registry::new());
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| hops::watch(pipeline, &health, &registry, &stop));
        let mut heard = 0;
        let mut patience = ALARM;
        while let Some(message) = on_call.next(patience) {
            if heard == 0 {
                writeln!(
                    out,
                    "The monitor compared each 30 days with January and February; a webhook heard, rightly signed:"
                )?;
            }
            heard += 1;
            patience = MORE;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let window = text(&message.data["window"]["start"]);
            let day = window.split('T').next().unwrap_or_default();
            writeln!(out, "  {}  {}  {}", message.kind, day, text(&message.data["summary"]))?;
        }
        stop.raise();
        watch.join().expect("hops do not panic")?;
        anyhow::ensure!(heard > 0, "the drift of a year was not heard of within {ALARM:?}");
        writeln!(out)?;
        Ok(())
    })
}

fn claim(pipeline: &Pipeline) -> Claim {
    Claim {
        connection: pipeline.connection(),
        input: pipeline.config.input.topic.clone(),
        output: pipeline.config.output.topic.clone(),
        dead_letters: pipeline.config.dead_letters.topic.clone(),
        // The mock broker forgets offsets that were committed through a transaction.
        group: None,
        archives: super::verify::archives(&pipeline.config),
    }
}
