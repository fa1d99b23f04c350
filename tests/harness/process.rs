//! Child processes of the built binary: output kept line by line, waits bounded, SIGKILL on drop.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A command that ends by itself ends within this, or the test fails.
const RUN_BOUND: Duration = Duration::from_secs(180);

/// Lines kept for the message of a failed wait.
const SHOWN_LINES: usize = 40;

/// A running `tidegate`.
pub(crate) struct Child {
    child: std::process::Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    /// Streams that are not at their end; counted down with the lines locked.
    open: AtomicU32,
    grown: Condvar,
}

impl Child {
    /// Starts `tidegate` with these arguments; stdout and stderr go to one log.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, &[])
    }

    /// The same with further environment variables.
    pub(crate) fn spawn_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::of(Command::new(binary()).args(arguments).envs(environment.iter().copied()))
    }

    /// Starts any command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Log::default());
        Log::follow(&log, child.stdout.take().expect("stdout is piped"));
        Log::follow(&log, child.stderr.take().expect("stderr is piped"));
        Self { child, log }
    }

    /// Waits until a line contains `needle` and returns it; panics with the log's end otherwise.
    pub(crate) fn wait_for(&self, needle: &str, bound: Duration) -> String {
        let find = |lines: &[String]| lines.iter().find(|line| line.contains(needle)).cloned();
        self.wait_until(needle, bound, find)
    }

    /// Waits until `find` finds what it looks for in the lines so far; panics with the log's end otherwise.
    pub(crate) fn wait_until<T>(
        &self,
        what: &str,
        bound: Duration,
        find: impl Fn(&[String]) -> Option<T>,
    ) -> T {
        let end = Instant::now() + bound;
        let mut lines = self.log.lines();
        loop {
            if let Some(found) = find(&lines) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {what:?} within {bound:?}:\n{}", tail(&lines));
            lines =
                self.log.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many lines it has printed so far.
    pub(crate) fn printed(&self) -> usize {
        self.log.lines().len()
    }

    /// Whether it has not ended yet.
    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Largest resident set so far, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs, on Linux");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM is there");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// Kills it with SIGKILL and reaps it.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended by itself, which `wait` then reports.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
        self.log.wait_for_the_end();
    }

    /// Asks it to drain and end.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops it where it stands (SIGSTOP): for everybody else it is frozen.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal} {pid} failed");
    }

    /// Waits until it has ended; panics with the log's end otherwise.
    pub(crate) fn wait(&mut self, bound: Duration) -> ExitStatus {
        self.ended_within(bound)
            .unwrap_or_else(|| panic!("did not end within {bound:?}:\n{}", self.log()))
    }

    /// How it has ended; `None` when it has not within that time.
    pub(crate) fn ended_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + bound;
        loop {
            let ended = self.child.try_wait().expect("a child can be waited for");
            if ended.is_some() {
                self.log.wait_for_the_end();
            }
            if ended.is_some() || Instant::now() >= end {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that it printed so far.
    pub(crate) fn whole_log(&self) -> String {
        self.log.lines().join("\n")
    }

    /// The end of what it printed.
    pub(crate) fn log(&self) -> String {
        tail(&self.log.lines())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    /// Also after a wait that failed, which panics with them locked.
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(log: &Arc<Self>, from: impl Read + Send + 'static) {
        let log = Arc::clone(log);
        log.open.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.lines().push(line);
                log.grown.notify_all();
            }
            let _lines = log.lines();
            log.open.fetch_sub(1, Ordering::Relaxed);
            log.grown.notify_all();
        });
    }

    /// Waits until all that a process printed is here; not for long, since a child of its own may hold a stream.
    fn wait_for_the_end(&self) {
        let lines = self.lines();
        let is_open = |_: &mut Vec<String>| self.open.load(Ordering::Relaxed) > 0;
        drop(self.grown.wait_timeout_while(lines, Duration::from_secs(5), is_open));
    }
}

/// The built binary, or the one of `TIDEGATE_TEST_BIN`: a long run goes on while another is built.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("TIDEGATE_TEST_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tidegate")), PathBuf::from)
}

/// Runs `tidegate` to its end and returns what it printed.
pub(crate) fn run(arguments: &[&str]) -> Output {
    output(Command::new(binary()).args(arguments))
}

/// The same with further environment variables.
pub(crate) fn run_with(arguments: &[&str], environment: &[(String, String)]) -> Output {
    output(Command::new(binary()).args(arguments).envs(environment.iter().cloned()))
}

/// Runs a command to its end, with nothing to read, and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Output {
    output_of(command, b"")
}

/// The same with something to read, which a pipe must hold.
pub(crate) fn output_of(command: &mut Command, input: &[u8]) -> Output {
    let (stdin, stdout, stderr) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    let started = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (all(child.stdout.take()), all(child.stderr.take()));
    // An error means that it has ended without reading, which its status and output say better.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    let end = Instant::now() + RUN_BOUND;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().expect("a running child can be killed");
                child.wait().expect("a child can be waited for");
                let said = stderr.join().expect("the reader does not panic");
                let said = String::from_utf8_lossy(&said);
                panic!("{command:?} did not end within {RUN_BOUND:?}:\n{said}")
            }
        }
    };
    Output {
        status,
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
    }
}

fn all(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    let mut from = from.expect("the stream is piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
