//! The pipeline under test: this binary's own `run`, in a process of its own, watched from outside.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::Names;
use crate::cli::{BenchArgs, Hop};
use crate::process::{self, Usage};

/// The model is loaded and warm within this.
const WARM: Duration = Duration::from_secs(60);

/// Draining and stopping takes no longer than this.
const STOP: Duration = Duration::from_secs(60);

/// A running `tidegate run`; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    warm: mpsc::Receiver<u64>,
    metrics: String,
}

/// How a start went.
pub(crate) struct Started {
    /// What it had used when it subscribed.
    pub(crate) usage: Usage,
    /// From the start of the process to its subscription with a warm model, by its own clock.
    pub(crate) startup_ms: u64,
}

impl Child {
    /// Starts it on the run's topics and folder.
    pub(crate) fn start(args: &BenchArgs, names: &Names, folder: &Path) -> anyhow::Result<Self> {
        let metrics = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(&args.config.config);
        for set in &args.config.set {
            command.args(["--set", set]);
        }
        for (key, value) in [
            ("pipeline.name", names.pipeline.as_str()),
            ("input.topic", &names.input),
            ("output.topic", &names.output),
            ("dead_letters.topic", &names.dead_letters),
            ("archive.directory", &folder.to_string_lossy()),
            // Rows count as drained when they are durable: files are published often.
            ("archive.roll_seconds", "2"),
            ("server.listen", &metrics),
            ("telemetry.format", "text"),
            ("telemetry.log", "info"),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for hop in &args.only {
            let name = hop.to_possible_value().expect("every hop has a name");
            command.args(["--only", name.get_name()]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the pipeline")?;
        let warm = follow(process.stderr.take().expect("stderr is piped"));
        Ok(Self { process, warm, metrics })
    }

    /// Waits until it subscribes.
    pub(crate) fn wait_until_warm(&self) -> anyhow::Result<Started> {
        let startup_ms = self
            .warm
            .recv_timeout(WARM)
            .context("the pipeline did not become warm; see its log above")?;
        Ok(Started { usage: self.usage()?, startup_ms })
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        process::usage(self.process.id())
    }

    /// CPU by stage, from the names of its threads.
    pub(crate) fn stages(&self) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
        let mut stages = BTreeMap::new();
        for (name, cpu) in process::threads(self.process.id())? {
            *stages.entry(stage(&name)).or_default() += cpu;
        }
        Ok(stages)
    }

    /// Events that have passed the last hop of the run, by the pipeline's own counters.
    pub(crate) fn drained(&self, args: &BenchArgs, names: &Names) -> anyhow::Result<u64> {
        let text = self.scrape()?;
        let pipeline = format!("pipeline=\"{}\"", names.pipeline);
        if args.only == [Hop::Score] {
            return Ok(sum(&text, "tidegate_records_committed_total", &pipeline));
        }
        // Rows in open files are written but not durable: they count when they are published.
        Ok(sum(&text, "tidegate_archived_total", "table="))
    }

    fn scrape(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.metrics).context("the pipeline's /metrics")?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Asks it to drain and end, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        process::terminate(self.process.id())?;
        let until = std::time::Instant::now() + STOP;
        while std::time::Instant::now() < until {
            if let Some(status) = self.process.try_wait()? {
                anyhow::ensure!(status.success(), "the pipeline ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("the pipeline did not stop within {STOP:?}")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes its log on and says when the model is warm, and after how many milliseconds.
fn follow(stderr: ChildStderr) -> mpsc::Receiver<u64> {
    let (say, warm) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(millis) = startup_ms(&line) {
                // Said once is enough; the log is read on, or the child would block.
                let _ = say.try_send(millis);
            }
            if line.contains("WARN") || line.contains("ERROR") || line.starts_with("tidegate:") {
                eprintln!("{line}");
            }
        }
    });
    warm
}

/// What the line that tells of the warm model says.
fn startup_ms(line: &str) -> Option<u64> {
    let (_, after) = line.split_once("startup_ms=")?;
    after.split_ascii_whitespace().next()?.parse().ok()
}

fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0").context("finding a free port")?.local_addr()?.to_string())
}

/// Which stage a thread belongs to.
fn stage(thread: &str) -> &'static str {
    let stages = [
        ("tg-score", "read and cut"),
        ("tg-worker", "decode, score, encode"),
        ("tg-publisher", "publish"),
        ("tg-results", "archive"),
        ("tg-dead", "archive"),
        ("rdk:", "Kafka client"),
    ];
    stages.iter().find(|(prefix, _)| thread.starts_with(prefix)).map_or("other", |(_, stage)| stage)
}

/// Sum of a counter's series whose labels contain `label`.
fn sum(text: &str, name: &str, label: &str) -> u64 {
    let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_belong_to_stages() {
        assert_eq!(stage("tg-worker-3"), "decode, score, encode");
        assert_eq!(stage("rdk:broker1"), "Kafka client");
        assert_eq!(stage("tokio"), "other");
    }

    #[test]
    fn the_start_is_told_in_one_line() {
        let line = "INFO model is warm; subscribing to in startup_ms=412 model=\"m\" workers=1";
        assert_eq!(startup_ms(line), Some(412));
        assert_eq!(startup_ms("INFO stopped"), None);
    }

    #[test]
    fn a_counter_is_summed_over_its_series() {
        let text = "# HELP a_total x\na_total{t=\"1\",p=\"x\"} 3\na_total{t=\"2\",p=\"x\"} 4\na_total{p=\"y\"} 9\n";
        assert_eq!(sum(text, "a_total", "p=\"x\""), 7);
        assert_eq!(sum(text, "b_total", "p"), 0);
    }
}
