//! A proxy in front of a broker that cuts, delays, holds or refuses one chosen Kafka request: before the broker
//! has seen it, after it took effect and before its answer arrives, or in the broker's place.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::refusal;

/// A request of a transaction, or of a member of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Produce,
    InitProducerId,
    AddPartitionsToTxn,
    AddOffsetsToTxn,
    /// EndTxn that commits.
    Commit,
    /// EndTxn that aborts.
    Abort,
    TxnOffsetCommit,
    JoinGroup,
    SyncGroup,
    OffsetFetch,
}

/// What happens to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection ends and the broker never sees it.
    Before,
    /// The broker acts on it, and the connection ends without its answer.
    After,
    /// Its answer comes so late.
    Late(Duration),
    /// The broker sees it when [`Proxy::let_go`] is called.
    Held,
    /// The broker never sees it; it is answered with this error code.
    Refuse(i16),
}

/// Forwards to one broker; ends with the test process.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    armed: Mutex<Vec<(Api, Cut)>>,
    fired: Condvar,
    holding: Mutex<bool>,
    let_go: Condvar,
}

impl Proxy {
    /// Listens on a free port; forwards once [`Proxy::forward_to`] has said where to.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(0),
            armed: Mutex::default(),
            fired: Condvar::new(),
            holding: Mutex::new(true),
            let_go: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let port = serving.target.load(Ordering::Relaxed);
                // A broker that is down refuses: so does the proxy.
                let Ok(broker) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                // A frame is two writes: without this each waits for the other side's delayed ACK.
                for stream in [&client, &broker] {
                    stream.set_nodelay(true).expect("TCP");
                }
                relay(client, broker, &serving);
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn forward_to(&self, port: u16) {
        self.shared.target.store(port, Ordering::Relaxed);
    }

    /// Does these to the next requests of their kinds, each once, and waits until all have happened.
    #[track_caller]
    pub(crate) fn strike(&self, strikes: &[(Api, Cut)], bound: Duration) {
        let mut armed = self.shared.armed.lock().expect("no relay panics");
        armed.extend(strikes);
        let end = Instant::now() + bound;
        while !armed.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "none came by within {bound:?} of {armed:?}");
            armed = self.shared.fired.wait_timeout(armed, left).expect("no relay panics").0;
        }
    }

    /// Lets the held requests go on, and holds none any more.
    pub(crate) fn let_go(&self) {
        *self.shared.holding.lock().expect("no relay panics") = false;
        self.shared.let_go.notify_all();
    }
}

impl Shared {
    fn hold(&self) {
        let holding = self.holding.lock().expect("no relay panics");
        drop(self.let_go.wait_while(holding, |holding| *holding).expect("no relay panics"));
    }

    /// Takes an armed cut if it is for this request and passes `fits`.
    fn take(&self, api: Api, fits: impl Fn(Cut) -> bool) -> Option<Cut> {
        let mut armed = self.armed.lock().expect("no relay panics");
        let at = armed.iter().position(|(wanted, cut)| *wanted == api && fits(*cut))?;
        let (_, cut) = armed.remove(at);
        self.fired.notify_all();
        Some(cut)
    }
}

impl Api {
    /// By Kafka's number of the request, which it begins with; the last byte of EndTxn (version 1) says
    /// whether it commits.
    fn of(request: &[u8]) -> Option<Self> {
        Some(match i16::from_be_bytes([request[0], request[1]]) {
            0 => Self::Produce,
            9 => Self::OffsetFetch,
            11 => Self::JoinGroup,
            14 => Self::SyncGroup,
            22 => Self::InitProducerId,
            24 => Self::AddPartitionsToTxn,
            25 => Self::AddOffsetsToTxn,
            26 if request.last() == Some(&0) => Self::Abort,
            26 => Self::Commit,
            28 => Self::TxnOffsetCommit,
            _ => return None,
        })
    }
}

impl Cut {
    /// Whether the request itself is kept from the broker.
    fn is_of_the_request(self) -> bool {
        match self {
            Self::Before | Self::Held | Self::Refuse(_) => true,
            Self::After | Self::Late(_) => false,
        }
    }
}

/// What becomes of a frame.
enum Fate {
    Forward,
    /// It goes no further, the connection goes on.
    Swallow,
    /// The connection ends.
    End,
}

/// Both directions of a connection, a thread each.
fn relay(client: TcpStream, broker: TcpStream, shared: &Arc<Shared>) {
    let pending = Arc::new(Mutex::new(HashMap::<[u8; 4], Api>::new()));
    let both = |a: &TcpStream, b: &TcpStream| {
        (a.try_clone().expect("a socket has a second handle"), b.try_clone().expect("it too"))
    };
    // Refusals and answers go to the client from two threads, a whole frame at a time.
    let to_client = Arc::new(Mutex::new(client.try_clone().expect("a socket has a second handle")));
    let (from_client, to_broker) = both(&client, &broker);
    let (asking, asked, refusing) =
        (Arc::clone(shared), Arc::clone(&pending), Arc::clone(&to_client));
    std::thread::spawn(move || {
        let to_broker = Mutex::new(to_broker);
        frames(&from_client, &to_broker, |frame| {
            // Only hop 1's requests: others produce, too.
            let Some(api) = Api::of(frame).filter(|_| client_id(frame).starts_with(PIPE)) else {
                return Fate::Forward;
            };
            match asking.take(api, Cut::is_of_the_request) {
                Some(Cut::Refuse(code)) => match send(&refusing, &refusal::of(frame, code)) {
                    Ok(()) => Fate::Swallow,
                    Err(_) => Fate::End,
                },
                Some(Cut::Held) => {
                    asking.hold();
                    Fate::Forward
                }
                Some(_) => Fate::End,
                None => {
                    asked.lock().expect("no relay panics").insert(correlation(&frame[4..8]), api);
                    Fate::Forward
                }
            }
        });
    });
    let from_broker = broker;
    let answering = Arc::clone(shared);
    std::thread::spawn(move || {
        frames(&from_broker, &to_client, |frame| {
            let api = pending.lock().expect("no relay panics").remove(&correlation(&frame[..4]));
            match api.and_then(|api| answering.take(api, |cut| !cut.is_of_the_request())) {
                Some(Cut::After) => return Fate::End,
                Some(Cut::Late(time)) => std::thread::sleep(time),
                Some(Cut::Before | Cut::Held | Cut::Refuse(_)) | None => {}
            }
            Fate::Forward
        });
    });
}

/// What the pipeline's clients call themselves; the instance of `produce` is its own.
const PIPE: &[u8] = b"tidegate-a";

/// After API, version and correlation id: a length of two bytes and the name.
fn client_id(request: &[u8]) -> &[u8] {
    let Some([high, low]) = request.get(8..10) else { return &[] };
    let length = u16::from_be_bytes([*high, *low]) as usize;
    request.get(10..10 + length).unwrap_or_default()
}

fn correlation(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().expect("four bytes")
}

/// Forwards length-prefixed frames until one side ends or `fate` says so; then both end.
fn frames(mut from: &TcpStream, to: &Mutex<TcpStream>, fate: impl Fn(&[u8]) -> Fate) {
    loop {
        let mut length = [0; 4];
        if from.read_exact(&mut length).is_err() {
            break;
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() || frame.len() < 8 {
            break;
        }
        match fate(&frame) {
            Fate::Forward if send(to, &frame).is_ok() => {}
            Fate::Swallow => {}
            Fate::Forward | Fate::End => break,
        }
    }
    // The other thread of the pair ends by its read.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.lock().expect("no relay panics").shutdown(Shutdown::Both);
}

fn send(to: &Mutex<TcpStream>, frame: &[u8]) -> std::io::Result<()> {
    let mut to = to.lock().expect("no relay panics");
    to.write_all(&(frame.len() as u32).to_be_bytes())?;
    to.write_all(frame)
}
