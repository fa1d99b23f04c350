//! What lies in `deploy/` for other schedulers: it parses, and starts commands that exist.

use std::process::Command;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::{none, tree};

fn path(of: &str) -> std::path::PathBuf {
    tree::root().join(of)
}

#[test]
fn the_cron_job_starts_a_job_and_no_two_at_once() {
    let text = tree::text("deploy/kubernetes/cronjob.yaml").expect("a manifest is text");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let [job] = &documents[..] else { panic!("one document, not {}", documents.len()) };
    assert_eq!(job["apiVersion"].as_str(), Some("batch/v1"));
    assert_eq!(job["kind"].as_str(), Some("CronJob"));
    let spec = &job["spec"];
    assert_eq!(spec["concurrencyPolicy"].as_str(), Some("Forbid"));
    let schedule = spec["schedule"].as_str().expect("a text");
    batch::jobs::Cron::parse(schedule).expect("a schedule that the jobs' own reader takes");
    jiff::tz::TimeZone::get(spec["timeZone"].as_str().expect("a text")).expect("an IANA name");
    let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"].as_str(), Some("Never"), "the job counts failures");
    let containers = pod["containers"].as_vec().expect("a list");
    let [container] = &containers[..] else { panic!("one container") };
    let arguments = container["args"].as_vec().expect("a list");
    let arguments: Vec<&str> = arguments.iter().filter_map(|word| word.as_str()).collect();
    assert_eq!(arguments[..2], ["jobs", "run"]);
    let help = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["jobs", "run", "--help"])
        .output()
        .expect("the built binary starts");
    let help = String::from_utf8(help.stdout).expect("help is UTF-8");
    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(flag), "{flag} is not in:\n{help}");
    }
    // Every volume that is mounted is there.
    let name = |of: &Yaml<'_>| of["name"].as_str().expect("a name").to_owned();
    let volumes: Vec<String> = pod["volumes"].as_vec().expect("a list").iter().map(name).collect();
    for mount in container["volumeMounts"].as_vec().expect("a list") {
        assert!(volumes.contains(&name(mount)), "{mount:?}");
    }
}

#[test]
fn the_dag_is_python() {
    let dag = path("deploy/airflow/tidegate_jobs.py");
    // Without writing a cache beside it.
    let parse =
        "import ast, sys; ast.parse(open(sys.argv[1], encoding='utf-8').read(), sys.argv[1])";
    let parsed = Command::new("python3").args(["-c", parse]).arg(&dag).output();
    let parsed = parsed.expect("CONTRIBUTING.md asks for Python");
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let text = std::fs::read_to_string(&dag).expect("it is there");
    assert!(text.contains("tidegate jobs run"), "it starts a job of the configuration");
}

#[test]
fn the_service_writes_only_where_it_may() {
    let unit = tree::text("deploy/systemd/tidegate.service").expect("a unit is text");
    let value =
        |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).expect("it is set");
    let state = format!("/var/lib/{}/", value("StateDirectory="));
    let defaults = tree::text("src/config/default.toml").expect("a configuration is text");
    // What a run writes: the archive and every state. All of them are relative to the configuration's folder,
    // which the unit mounts read-only.
    let mut section = String::new();
    let mut written = Vec::new();
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let key = line.split(" = ").next().unwrap_or_default();
        if key == "state" || (key, section.as_str()) == ("directory", "archive") {
            written.push(format!("{section}__{key}").to_uppercase());
        }
    }
    assert_eq!(written.len(), 3, "{written:?}");
    let unset = written
        .into_iter()
        .filter(|key| !unit.contains(&format!("\nEnvironment=TIDEGATE__{key}={state}")));
    none("the unit does not put it below its state directory", &unset.collect::<Vec<_>>());
}
