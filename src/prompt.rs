//! The prompt of `tidegate sql` on a terminal: statements end with a semicolon, lines are remembered.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use batch::sql::{Format, Session};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::exit::Exit;

const HELP: &str = "\
A statement ends with a semicolon. Ctrl-C drops what is typed, Ctrl-D ends.
  \\d          tables
  \\d NAME     columns of a table
  \\q          end
Functions: predict('model@version', features…), psi(x, is_reference), ks(x, is_reference)";

/// What a line asks for by itself.
enum Word {
    Nothing,
    Help,
    Quit,
    Statement(String),
}

/// Answers until the input ends; an error is said and ends nothing.
pub(crate) fn run(session: &Session, format: &Format) -> anyhow::Result<Exit> {
    let mut editor = DefaultEditor::new().context("opening the terminal")?;
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let mut out = std::io::stdout();
    writeln!(out, "tidegate sql · \\? helps")?;
    let mut typed = String::new();
    loop {
        let prompt = if typed.is_empty() { "sql> " } else { "  -> " };
        match editor.readline(prompt) {
            Ok(line) => {
                typed.push_str(&line);
                match word(&typed) {
                    Some(Word::Quit) => break,
                    Some(Word::Help) => writeln!(out, "{HELP}")?,
                    Some(Word::Nothing) => {}
                    Some(Word::Statement(sql)) => {
                        editor.add_history_entry(typed.trim())?;
                        if let Err(error) = session.query(&sql, format, &mut out) {
                            writeln!(out, "{error}")?;
                        }
                    }
                    None => {
                        typed.push('\n');
                        continue;
                    }
                }
                typed.clear();
            }
            Err(ReadlineError::Interrupted) => typed.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("reading from the terminal"),
        }
    }
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        eprintln!("tidegate: the history was not kept in {}: {error}", path.display());
    }
    Ok(Exit::Fine)
}

/// What was typed so far; `None` where more lines belong to it.
fn word(typed: &str) -> Option<Word> {
    let text = typed.trim();
    let mut words = text.split_whitespace();
    Some(match (words.next(), words.next()) {
        (None, _) => Word::Nothing,
        (Some("\\q" | "exit" | "quit" | "exit;" | "quit;"), None) => Word::Quit,
        (Some("\\?" | "\\h" | "help" | "help;"), None) => Word::Help,
        (Some("\\d" | "\\dt"), None) => Word::Statement("SHOW TABLES".into()),
        (Some("\\d"), Some(name)) => Word::Statement(format!("DESCRIBE {name}")),
        _ if text.ends_with(';') => Word::Statement(text.to_owned()),
        _ => return None,
    })
}

/// Where lines are remembered; nowhere without a home.
fn history() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home)?;
    let folder = state.join("tidegate");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_a_semicolon_and_words_stand_alone() {
        for (typed, expected) in [
            ("", "nothing"),
            ("select 1", "more"),
            ("select\n1;", "select\n1;"),
            ("\\d", "SHOW TABLES"),
            ("\\d results", "DESCRIBE results"),
            ("exit", "quit"),
            ("\\?", "help"),
        ] {
            let said = match word(typed) {
                None => "more".to_owned(),
                Some(Word::Nothing) => "nothing".to_owned(),
                Some(Word::Quit) => "quit".to_owned(),
                Some(Word::Help) => "help".to_owned(),
                Some(Word::Statement(sql)) => sql,
            };
            assert_eq!(said, expected, "{typed}");
        }
    }
}
