//! HTTP requests as the tests' receivers read them: one a connection, body of a stated length. And what
//! a process answers itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A request, whole.
pub(crate) struct Request {
    /// `POST /path HTTP/1.1`.
    pub(crate) line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads one; what is not as the protocol says is an error in words.
    pub(crate) fn read(stream: &TcpStream) -> Result<Self, String> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).map_err(|error| error.to_string())?;
            Ok::<_, String>(line.trim_end().to_owned())
        };
        let mut request = Self { line: line()?, headers: Vec::new(), body: Vec::new() };
        loop {
            let header = line()?;
            let Some((name, value)) = header.split_once(':') else { break };
            request.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| format!("{}: no content-length", request.line))?;
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).map_err(|error| error.to_string())?;
        Ok(request)
    }

    /// Value of the first header of this name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// `/metrics` at this address, with the answer's head.
pub(crate) fn metrics(address: &str) -> String {
    let answer = get(address, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// The answer to GET, with its head.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// The address of this machine that a line of a log names.
pub(crate) fn address_in(line: &str) -> String {
    let at = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address: {line}"));
    let port = line[at + 10..].split(|letter: char| !letter.is_ascii_digit()).next();
    format!("127.0.0.1:{}", port.expect("a split has a first part"))
}
