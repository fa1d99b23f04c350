//! A local HTTP server that keeps what it received and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the receiver answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status, headers (each with its line end) and a body.
    Status(u16, &'static str, &'static str),
    /// Nothing, for so long.
    Hang(Duration),
    /// A status and then zeros without end.
    Flood(u16),
    /// The connection ends in the middle of an answer.
    Cut,
    /// One byte of the body every 50 ms.
    Drip(u16),
    /// 202 where the request is as it must be, else 400 and what is wrong with it.
    Check(fn(&Received) -> Result<(), String>),
}

/// The server; it lasts as long as the test.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    received: Vec<Received>,
    answers: VecDeque<Answer>,
    then: Answer,
    flooded_bytes: u64,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of = |(have, _): &&(String, String)| have.eq_ignore_ascii_case(name);
        self.headers.iter().find(of).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a request's body is JSON")
    }
}

impl Receiver {
    /// Answers `answers` one after the other, then `then` for ever.
    pub(crate) fn start(answers: impl IntoIterator<Item = Answer>, then: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answers = answers.into_iter().collect();
        let state = State { received: vec![], answers, then, flooded_bytes: 0 };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(crate) fn fine() -> Self {
        Self::start([], Answer::Status(200, "", "ok"))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    pub(crate) fn then_answer(&self, answer: Answer) {
        let mut state = self.lock();
        state.answers.clear();
        state.then = answer;
    }

    pub(crate) fn flooded_bytes(&self) -> u64 {
        self.lock().flooded_bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Ok(clone) = stream.try_clone() else { return };
    let mut reader = BufReader::new(clone);
    while let Some(received) = read(&mut reader) {
        let asked = received.clone();
        let answer = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.received.push(received);
            let then = state.then.clone();
            state.answers.pop_front().unwrap_or(then)
        };
        // A client that has had enough closes: what cannot be written is not wanted.
        match answer {
            Answer::Status(status, headers, body) => {
                if stream.write_all(whole(status, headers, body).as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Check(check) => {
                let (status, said) = match check(&asked) {
                    Ok(()) => (202, String::new()),
                    Err(why) => (400, why),
                };
                if stream.write_all(whole(status, "", &said).as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Hang(time) => {
                std::thread::sleep(time);
                return;
            }
            Answer::Cut => {
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-le");
                return;
            }
            Answer::Flood(status) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 1073741824\r\n\r\n");
                let zeros = vec![b'0'; 1 << 16];
                let mut sent = stream.write_all(head.as_bytes());
                for _ in 0..(1 << 14) {
                    if sent.is_err() {
                        return;
                    }
                    sent = stream.write_all(&zeros);
                    state.lock().unwrap_or_else(PoisonError::into_inner).flooded_bytes += 1 << 16;
                }
                return;
            }
            Answer::Drip(status) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 100000\r\n\r\n");
                let mut sent = stream.write_all(head.as_bytes());
                while sent.is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                    sent = stream.write_all(b"x");
                }
                return;
            }
        }
    }
}

fn whole(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("POST"), "everything is posted");
    let path = words.next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length?.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Received { path, headers, body })
}
