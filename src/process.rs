//! CPU time and memory of a process, as the operating system counts them (Linux: /proc).

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Largest resident set so far, in bytes.
    pub(crate) peak_bytes: u64,
}

/// Usage of process `pid`.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone, or /proc is not mounted"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Usage {
        cpu: cpu(&stat).context("/proc/PID/stat has no CPU times")?,
        peak_bytes: peak(&status).context("/proc/PID/status has no VmHWM")?,
    })
}

/// CPU of each thread of process `pid` that runs now, by name.
pub(crate) fn threads(pid: u32) -> anyhow::Result<Vec<(String, Duration)>> {
    let folder = format!("/proc/{pid}/task");
    let tasks = std::fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?;
    // A thread may end while it is looked at.
    let looked = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        Some((name.trim_end().to_owned(), cpu(&stat)?))
    });
    Ok(looked.collect())
}

/// Asks process `pid` to end (SIGTERM).
pub(crate) fn terminate(pid: u32) -> anyhow::Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM).context("sending SIGTERM")
}

/// Fields 14 and 15 (utime, stime) in clock ticks of 10 ms; the name in field 2 may hold spaces.
fn cpu(stat: &str) -> Option<Duration> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0";
        assert_eq!(cpu(stat), Some(Duration::from_millis(3000)));
        assert_eq!(peak("Name:\tx\nVmHWM:\t  1024 kB\n"), Some(1 << 20));
        assert_eq!(cpu("nonsense"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        assert!(usage(std::process::id()).unwrap().peak_bytes > 0);
        assert!(!threads(std::process::id()).unwrap().is_empty());
    }
}
