//! What the documents promise exists: links, make targets, subcommands and their flags.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{none, tree};

/// The documents a stranger reads first; they must exist.
const FIRST: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"];

#[test]
fn the_first_documents_exist() {
    let missing: Vec<String> = FIRST
        .iter()
        .filter(|path| !tree::root().join(path).is_file())
        .map(|path| (*path).to_owned())
        .collect();
    none("a document is missing", &missing);
}

#[test]
fn relative_links_lead_somewhere() {
    let mut breaches = Vec::new();
    for path in tree::paths(&[".md"]) {
        let text = tree::text(&path).expect("a document is text");
        let folder = tree::root().join(&path).parent().map(std::path::Path::to_path_buf);
        let folder = folder.expect("a file lies in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") && !folder.join(file).exists() {
                breaches.push(format!("{path}: {target}"));
            }
        }
    }
    none("a link leads nowhere", &breaches);
}

#[test]
fn make_targets_exist() {
    let makefile = tree::text("Makefile").expect("Makefile is text");
    let breaches: Vec<String> = spoken("make ")
        .into_iter()
        .filter(|(_, line)| {
            line.split_whitespace().nth(1).is_some_and(|target| {
                !makefile.lines().any(|rule| rule.starts_with(&format!("{target}:")))
            })
        })
        .map(|(path, line)| format!("{path}: {line}"))
        .collect();
    none("not a target of the Makefile", &breaches);
}

#[test]
fn subcommands_and_flags_exist() {
    let mut breaches = Vec::new();
    for (path, line) in spoken("tidegate ") {
        let mut words = line.split_whitespace().skip(1).peekable();
        let (mut command, mut help) = (Vec::new(), help(&[]));
        while let Some(word) = words.next_if(|word| lists(&help, word)) {
            command.push(word);
            help = self::help(&command);
        }
        if command.is_empty() && words.peek().is_some_and(|word| !word.starts_with('-')) {
            breaches.push(format!("{path}: `{line}`: no such subcommand"));
        }
        for flag in words.take_while(|word| *word != "|").filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or(flag);
            if !help.contains(flag) {
                breaches.push(format!("{path}: `{line}`: {flag} is not in its help"));
            }
        }
    }
    none("a command line that does not exist", &breaches);
}

/// Command lines in the documents that begin with `start`: lines of code blocks, and code in text.
fn spoken(start: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for path in tree::paths(&[".md"]) {
        let text = tree::text(&path).expect("a document is text");
        for (index, block) in text.split("```").enumerate() {
            let pieces: Vec<&str> = if index % 2 == 1 {
                block.lines().collect()
            } else {
                block.split('`').skip(1).step_by(2).collect()
            };
            for piece in pieces {
                let line = piece.trim().trim_start_matches("$ ");
                let line = line.split(" #").next().unwrap_or(line).trim();
                if line.starts_with(start) {
                    found.insert((path.clone(), line.to_owned()));
                }
            }
        }
    }
    found
}

/// The help of a subcommand.
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(command)
        .arg("--help")
        .output()
        .expect("the built binary starts");
    assert!(output.status.success(), "tidegate {} --help failed", command.join(" "));
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// Whether a help text lists this subcommand.
fn lists(help: &str, word: &str) -> bool {
    help.split("Commands:").nth(1).is_some_and(|commands| {
        commands.lines().take_while(|line| !line.starts_with("Options")).any(|line| {
            line.strip_prefix("  ").is_some_and(|line| line.split(' ').next() == Some(word))
        })
    })
}
