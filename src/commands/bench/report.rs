//! What a run of `bench` has measured, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::latency::Latency;
use super::limits::Limits;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) events: u64,
    pub(super) event_bytes: f64,
    pub(super) event_headers: u8,
    pub(super) hops: String,
    pub(super) delivery: String,
    pub(super) model: String,
    pub(super) seconds: f64,
    pub(super) events_per_second: f64,
    /// CPU of the process, all threads, from its subscription to the end of the drain.
    pub(super) cpu_us_per_event: f64,
    /// CPU per event of each stage, from its threads; start-up included.
    pub(super) stages_us_per_event: BTreeMap<&'static str, f64>,
    /// From the start of the process to its subscription with a warm model.
    pub(super) startup_ms: u64,
    pub(super) startup_cpu_seconds: f64,
    pub(super) peak_mib: f64,
    /// What the raw parts cost by themselves.
    pub(super) limits: Option<Limits>,
    pub(super) latency: Option<Latency>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, event_bytes, event_headers, hops, delivery, model, .. } = self;
        write!(out, "{events} events of {event_bytes:.0} bytes")?;
        if *event_headers > 0 {
            write!(out, " with {event_headers} headers")?;
        }
        writeln!(out, " · {hops} · {delivery} · {model}")?;
        writeln!(
            out,
            "rate     {:>10.0} events/s ({:.2} s with joining the group)",
            self.events_per_second, self.seconds
        )?;
        writeln!(out, "CPU      {:>10.2} µs/event, all threads", self.cpu_us_per_event)?;
        for (stage, cpu) in &self.stages_us_per_event {
            writeln!(out, "         {cpu:>10.2} µs {stage}")?;
        }
        let Self { startup_ms, startup_cpu_seconds, .. } = self;
        writeln!(
            out,
            "startup  {startup_ms:>10} ms to a warm model, {startup_cpu_seconds:.2} s of CPU"
        )?;
        write!(out, "memory   {:>10.0} MiB peak", self.peak_mib)?;
        if let Some(limits) = &self.limits {
            let times = self.cpu_us_per_event / limits.sum;
            write!(out, "\nparts    {limits}; the pipeline takes {times:.2} times their sum")?;
        }
        if let Some(latency) = &self.latency {
            write!(out, "\n{latency}")?;
        }
        Ok(())
    }
}
