//! A real Kafka node, started by tests/kafka/broker.sh. It never outlives the test process: the
//! script kills it when its parent has ended, however that ended.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::{Proxy, folder, required, root};

/// One Kafka node on loopback.
pub(crate) struct Broker {
    address: String,
    folder: Option<TempDir>,
}

impl Broker {
    /// The broker that all tests share: the one of `TIDEGATE_TEST_KAFKA`, else one of our own.
    /// It is never stopped or restarted; take [`Broker::start`] for that.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED
            .get_or_init(|| match std::env::var("TIDEGATE_TEST_KAFKA") {
                Ok(address) => Some(Self { address, folder: None }),
                Err(_) => Self::start(),
            })
            .as_ref()
    }

    /// A broker of its own, for tests that stop it.
    pub(crate) fn start() -> Option<Self> {
        let folder = folder();
        let started = script("start", &folder);
        required("Apache Kafka", started).map(|address| Self { address, folder: Some(folder) })
    }

    /// A broker of its own that clients reach through this proxy only.
    pub(crate) fn start_behind(proxy: &Proxy) -> Option<Self> {
        let folder = folder();
        let advertised = [("TIDEGATE_BROKER_ADVERTISED", proxy.port().to_string())];
        let address = required("Apache Kafka", script_with("start", &folder, &advertised))?;
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        proxy.forward_to(port.expect("broker.sh prints host:port"));
        Some(Self { address: format!("127.0.0.1:{}", proxy.port()), folder: Some(folder) })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it in good order and starts it again on the same port with the same data.
    pub(crate) fn restart(&self) {
        self.own("restart");
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&self) {
        self.own("kill");
    }

    /// Starts it after [`Broker::kill`], on the same port with the same data.
    pub(crate) fn start_again(&self) {
        self.own("start");
    }

    /// Stops it where it stands (SIGSTOP) for so long: its clients hear nothing meanwhile.
    pub(crate) fn freeze_for(&self, time: Duration) {
        let folder = self.folder.as_ref().expect("a shared broker is not frozen");
        let pid = std::fs::read_to_string(folder.path().join("broker.pid")).expect("it runs");
        let signal = |name| {
            let sent = Command::new("kill").args([name, pid.trim()]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill {name} {pid} failed");
        };
        signal("-STOP");
        std::thread::sleep(time);
        signal("-CONT");
    }

    fn own(&self, command: &str) {
        let folder =
            self.folder.as_ref().expect("a shared broker is not stopped: use Broker::start");
        script(command, folder).unwrap_or_else(|why| panic!("broker.sh {command}: {why}"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(why) = script("kill", folder)
        {
            eprintln!("broker.sh kill: {why}");
        }
    }
}

/// Runs broker.sh; its standard output, or what it complained of.
fn script(command: &str, folder: &TempDir) -> Result<String, String> {
    script_with(command, folder, &[])
}

fn script_with(
    command: &str,
    folder: &TempDir,
    environment: &[(&str, String)],
) -> Result<String, String> {
    let output = Command::new(root().join("tests/kafka/broker.sh"))
        .arg(command)
        .arg(folder.path())
        .env("TIDEGATE_BROKER_PARENT", std::process::id().to_string())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
