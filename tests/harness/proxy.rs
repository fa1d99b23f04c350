//! A proxy in front of a broker that cuts or delays one chosen Kafka request: before the broker has
//! seen it, or after it took effect and before its answer arrives.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Kafka's number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Produce = 0,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
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
}

/// Forwards to one broker; ends with the test process.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    armed: Mutex<Option<(Api, Cut)>>,
    fired: Condvar,
}

impl Proxy {
    /// Listens on a free port; forwards once [`Proxy::forward_to`] has said where to.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (target, armed, fired) = (AtomicU16::new(0), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { target, armed, fired });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let port = serving.target.load(Ordering::Relaxed);
                // A broker that is down refuses: so does the proxy.
                let Ok(broker) = TcpStream::connect(("127.0.0.1", port)) else { continue };
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

    /// Does this to the next request of this kind and waits until it has happened.
    #[track_caller]
    pub(crate) fn strike(&self, api: Api, cut: Cut, bound: Duration) {
        let mut armed = self.shared.armed.lock().expect("no relay panics");
        *armed = Some((api, cut));
        let end = Instant::now() + bound;
        while armed.is_some() {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {api:?} came by within {bound:?}");
            armed = self.shared.fired.wait_timeout(armed, left).expect("no relay panics").0;
        }
    }
}

impl Shared {
    /// Takes the armed cut if it is for this request and passes `fits`.
    fn take(&self, api: i16, fits: impl Fn(Cut) -> bool) -> Option<Cut> {
        let mut armed = self.armed.lock().expect("no relay panics");
        let found = armed.filter(|(wanted, cut)| *wanted as i16 == api && fits(*cut));
        if found.is_some() {
            *armed = None;
            self.fired.notify_all();
        }
        found.map(|(_, cut)| cut)
    }
}

/// Both directions of a connection, a thread each.
fn relay(client: TcpStream, broker: TcpStream, shared: &Arc<Shared>) {
    let pending = Arc::new(Mutex::new(HashMap::<[u8; 4], i16>::new()));
    let both = |a: &TcpStream, b: &TcpStream| {
        (a.try_clone().expect("a socket has a second handle"), b.try_clone().expect("it too"))
    };
    let (from_client, to_broker) = both(&client, &broker);
    let (asking, asked) = (Arc::clone(shared), Arc::clone(&pending));
    std::thread::spawn(move || {
        frames(&from_client, &to_broker, |frame| {
            // Only hop 1's requests: others produce, too.
            if !client_id(frame).starts_with(PIPE) {
                return true;
            }
            let (api, id) = (i16::from_be_bytes([frame[0], frame[1]]), correlation(&frame[4..8]));
            asked.lock().expect("no relay panics").insert(id, api);
            asking.take(api, |cut| cut == Cut::Before).is_none()
        });
    });
    let (from_broker, to_client) = both(&broker, &client);
    let answering = Arc::clone(shared);
    std::thread::spawn(move || {
        frames(&from_broker, &to_client, |frame| {
            let api = pending.lock().expect("no relay panics").remove(&correlation(&frame[..4]));
            match api.and_then(|api| answering.take(api, |cut| cut != Cut::Before)) {
                Some(Cut::After) => return false,
                Some(Cut::Late(time)) => std::thread::sleep(time),
                Some(Cut::Before) | None => {}
            }
            true
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

/// Forwards length-prefixed frames until one side ends or `goes_on` says no; then both end.
fn frames(mut from: &TcpStream, mut to: &TcpStream, goes_on: impl Fn(&[u8]) -> bool) {
    loop {
        let mut length = [0; 4];
        if from.read_exact(&mut length).is_err() {
            break;
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() || frame.len() < 8 || !goes_on(&frame) {
            break;
        }
        if to.write_all(&length).is_err() || to.write_all(&frame).is_err() {
            break;
        }
    }
    // The other thread of the pair ends by its read.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
