//! Clients that have not said who they are: how many there may be, together and of one source.
//!
//! Nobody waits for a stranger who says nothing: where there is no room, the oldest one of the source with most
//! of them gives way. Whoever is being answered about a password stays, so that guessing stays slow.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

/// Strangers at once; each is a socket and a few kilobytes.
const STRANGERS: usize = 512;

/// Of one source: a pool of as many connections as there may be where nothing else is said comes back at once.
/// With a second of delay for each wrong password these are its guesses a second.
const OF_ONE_SOURCE: usize = 128;

/// See the module.
#[derive(Default)]
pub(super) struct Strangers(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    admitted: u64,
    /// In the order in which they came.
    all: BTreeMap<u64, Stranger>,
}

struct Stranger {
    source: IpAddr,
    is_answered: bool,
    gives_way: CancellationToken,
}

/// The place of one stranger, free again when it is dropped.
pub(super) struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    gives_way: CancellationToken,
}

/// While this lives a stranger does not give way.
pub(super) struct Answered<'p>(&'p Place);

impl Strangers {
    /// A place for a client at `from`; `None` where everybody who could give way is being answered.
    pub(super) fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let source = source(from);
        let mut inside = self.inside();
        let mut of_source: HashMap<IpAddr, usize> = HashMap::new();
        for stranger in inside.all.values() {
            *of_source.entry(stranger.source).or_default() += 1;
        }
        let is_full = of_source.get(&source).is_some_and(|many| *many >= OF_ONE_SOURCE);
        if is_full || inside.all.len() >= STRANGERS {
            let silent = inside.all.iter().filter(|(_, stranger)| {
                !stranger.is_answered && (!is_full || stranger.source == source)
            });
            let oldest = silent.max_by_key(|(number, stranger)| {
                (of_source.get(&stranger.source), std::cmp::Reverse(**number))
            });
            let oldest = *oldest?.0;
            inside.all.remove(&oldest)?.gives_way.cancel();
        }
        inside.admitted += 1;
        let (number, gives_way) = (inside.admitted, CancellationToken::new());
        let stranger = Stranger { source, is_answered: false, gives_way: gives_way.clone() };
        inside.all.insert(number, stranger);
        Some(Place { strangers: Arc::clone(self), number, gives_way })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Place {
    /// Ends when somebody else needs it.
    pub(super) async fn is_needed(&self) {
        self.gives_way.cancelled().await;
    }

    pub(super) fn answered(&self) -> Answered<'_> {
        self.set_answered(true);
        Answered(self)
    }

    fn set_answered(&self, is_answered: bool) {
        if let Some(stranger) = self.strangers.inside().all.get_mut(&self.number) {
            stranger.is_answered = is_answered;
        }
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.set_answered(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.inside().all.remove(&self.number);
    }
}

/// An address; of IPv6 the network, since whoever has one has 2^64 addresses of it.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_takes_its_own_places_only() {
        let strangers = Arc::new(Strangers::default());
        let other = strangers.admit(at("10.0.0.1")).unwrap();
        let mut many: Vec<_> =
            (0..OF_ONE_SOURCE).map(|_| strangers.admit(at("10.0.0.2")).unwrap()).collect();
        assert!(many.iter().all(|place| !place.gives_way.is_cancelled()));
        // One more: its oldest that is not being answered goes.
        let answered = many[0].answered();
        let more = strangers.admit(at("10.0.0.2")).unwrap();
        assert!(!many[0].gives_way.is_cancelled() && many[1].gives_way.is_cancelled());
        assert!(!other.gives_way.is_cancelled());
        assert_eq!(strangers.inside().all.len(), OF_ONE_SOURCE + 1);
        drop(answered);
        drop((more, many.drain(..)));
        assert_eq!(strangers.inside().all.len(), 1);
    }

    #[test]
    fn who_is_being_answered_gives_no_way() {
        let strangers = Arc::new(Strangers::default());
        let guesses: Vec<_> =
            (0..OF_ONE_SOURCE).map(|_| strangers.admit(at("10.0.0.2")).unwrap()).collect();
        let answered: Vec<_> = guesses.iter().map(Place::answered).collect();
        assert!(strangers.admit(at("10.0.0.2")).is_none());
        assert!(strangers.admit(at("::ffff:10.0.0.2")).is_none());
        assert!(strangers.admit(at("10.0.0.3")).is_some());
        drop(answered);
        assert!(strangers.admit(at("10.0.0.2")).is_some());
    }

    #[test]
    fn of_many_sources_the_one_with_most_gives_way() {
        let strangers = Arc::new(Strangers::default());
        let first = strangers.admit(at("10.0.0.1")).unwrap();
        let mut crowd = Vec::new();
        for number in 1..STRANGERS {
            let source = at(&format!("2001:db8:0:{}::{number:x}", number / OF_ONE_SOURCE));
            crowd.push(strangers.admit(source).unwrap());
        }
        let newest = strangers.admit(at("10.0.0.9")).unwrap();
        assert_eq!(strangers.inside().all.len(), STRANGERS);
        assert!(!first.gives_way.is_cancelled() && !newest.gives_way.is_cancelled());
        assert_eq!(crowd.iter().filter(|place| place.gives_way.is_cancelled()).count(), 1);
        // 63 of the first network, 64 of the others.
        assert!(crowd[OF_ONE_SOURCE - 1].gives_way.is_cancelled());
    }
}
