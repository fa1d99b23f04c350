//! The one entry to alerting: judged windows go in, deliveries come out.
//!
//! ```text
//! judge(window) ─▶ policy ─▶ one transaction (courses, episodes, history, outbox)
//! tick()        ─▶ lease, heartbeat, ended silences
//! run_deliveries() ─▶ one thread a route: outbox ─▶ HTTP or topic ─▶ what became of it
//! ```
//!
//! The clock is handed in, and so are rules, routes, the client and the way to a topic. Refuses to
//! compute statistics and to know where windows come from.

mod courier;
mod metrics;
mod posts;
mod restore;
mod retrain;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use opentelemetry::global;
use schemas::failpoint;

use crate::deliver::{
    Event, GuardSettings, Http, HttpError, HttpSettings, Kind, Message, ModelFacts, OffsetsOf,
    Publish, Rendering, Route, Target,
};
use crate::policy::{Book, Changes, Episode, JudgedWindow, Rule, Transition};
use crate::state::{Holder, Outbox, StateError, Store};
pub use courier::test_route;
use metrics::Metrics;
pub use restore::Past;

/// How often [`Alerts::tick`] wants to be called; the lease lasts six of these.
pub const TICK_MS: i64 = 10_000;

/// Milliseconds since 1970; tests hand in one that they move.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything that alerting is made of.
pub struct Settings {
    /// The pipeline's name, in every message.
    pub pipeline: String,
    /// The state file.
    pub state: PathBuf,
    /// Who we are.
    pub holder: Holder,
    /// Rules, checked.
    pub rules: Vec<Rule>,
    /// Routes, checked.
    pub routes: Vec<Route>,
    /// How messages are written.
    pub rendering: Rendering,
    /// When retraining may be requested.
    pub guards: GuardSettings,
    /// Bounds of requests.
    pub http: HttpSettings,
    /// The way to a topic, for routes to one.
    pub publish: Option<Publish>,
    /// Offsets of a window, for requests to train again.
    pub offsets: Option<OffsetsOf>,
    /// The time.
    pub clock: Clock,
}

/// Alerting cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A route leads to a topic, and there is no way to one.
    #[error("route {0:?} leads to a topic, but nothing was handed in that publishes")]
    NoPublish(String),
    /// A thread of alerting panicked: nothing goes on until alerting is opened again.
    #[error("alerting ended: {0} panicked")]
    Panicked(String),
}

/// Alerting, at work. Shared by the thread that judges and those that deliver.
pub struct Alerts {
    pipeline: String,
    rules: Vec<Rule>,
    routes: Vec<Route>,
    rendering: Rendering,
    guards: GuardSettings,
    http: Http,
    publish: Option<Publish>,
    offsets: Option<OffsetsOf>,
    clock: Clock,
    metrics: Metrics,
    inner: Mutex<Inner>,
    /// Something was put into the outbox, or the end was asked for.
    news: Condvar,
}

struct Inner {
    store: Store,
    book: Book,
    /// The last heartbeat's number, and the last day that was tidied up.
    heartbeat: i64,
    tidied_day: i64,
    ending: bool,
    /// The book may be ahead of the file: read it again before the next step.
    stale: bool,
    resent_ms: BTreeMap<String, i64>,
    /// Until when receivers want to be left alone, by route. A start asks once more.
    held_ms: BTreeMap<String, i64>,
    /// Who panicked first.
    panicked: Option<String>,
}

/// Ends alerting when its thread panics, so that the others do not go on without it.
struct Fuse<'a> {
    alerts: &'a Alerts,
    who: &'a str,
}

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.alerts.lock().panicked.get_or_insert_with(|| self.who.to_owned());
            self.alerts.end_deliveries();
        }
    }
}

impl Inner {
    fn expect_whole(&self) -> Result<(), AlertsError> {
        self.panicked.as_ref().map_or(Ok(()), |who| Err(AlertsError::Panicked(who.clone())))
    }

    fn refresh(&mut self, rules: &[Rule]) -> Result<(), StateError> {
        if self.stale {
            self.book = self.store.load(rules.iter().cloned())?;
            self.stale = false;
        }
        Ok(())
    }
}

impl Alerts {
    /// Opens the state, takes the lease and everything that was stored. Subjects and episodes whose
    /// rules are gone end now.
    ///
    /// # Errors
    /// [`StateError::Held`] when another monitor has the state; the others say what to do.
    pub fn open(settings: Settings) -> Result<Self, AlertsError> {
        let Settings { pipeline, state, holder, rules, routes, rendering, .. } = settings;
        let to_topic = |route: &&Route| matches!(route.target, Target::Topic { .. });
        if let (Some(route), None) = (routes.iter().find(to_topic), &settings.publish) {
            return Err(AlertsError::NoPublish(route.name.clone()));
        }
        let now_ms = (settings.clock)();
        let mut store = Store::open(&state, &holder, now_ms)?;
        let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        let abandoned = store.abandon(&names, now_ms)?;
        if abandoned > 0 {
            tracing::error!(abandoned, "alerts waited for routes that are not configured any more");
        }
        let book = store.load(rules.iter().cloned())?;
        let inner = Inner {
            store,
            book,
            heartbeat: 0,
            tidied_day: 0,
            ending: false,
            stale: false,
            resent_ms: BTreeMap::new(),
            held_ms: BTreeMap::new(),
            panicked: None,
        };
        let alerts = Self {
            pipeline,
            rules,
            routes,
            rendering: Rendering { heartbeat_ms: rendering.heartbeat_ms.max(1_000), ..rendering },
            guards: settings.guards,
            http: Http::new(settings.http)?,
            publish: settings.publish,
            offsets: settings.offsets,
            clock: settings.clock,
            metrics: Metrics::new(&global::meter("tidegate")),
            inner: Mutex::new(inner),
            news: Condvar::new(),
        };
        alerts.take(|book| book.end_orphans(), &[])?;
        Ok(alerts)
    }

    /// Takes a judged window in. When this returns, everything that follows from it is stored,
    /// deliveries included; a window that was taken before changes nothing. `facts` are those of
    /// the window's models, for requests to train them again.
    ///
    /// # Errors
    /// When the state cannot be written. Then nothing of the window was taken, or all but a request to
    /// train: hand it in again.
    pub fn judge(
        &self,
        window: &JudgedWindow,
        facts: &[ModelFacts],
    ) -> Result<Vec<Transition>, AlertsError> {
        self.take(|book| book.take(window), facts)
    }

    /// Open episodes.
    pub fn open_episodes(&self) -> Vec<Episode> {
        self.lock().book.open().cloned().collect()
    }

    /// Rules of which any subject of `model` fires.
    pub fn firing_rules(&self, model: &str) -> Vec<String> {
        let inner = self.lock();
        let standing = inner.book.standing().into_iter();
        let firing = standing.filter(|((_, of), [_, firing])| *of == model && *firing > 0);
        firing.map(|((rule, _), _)| rule.to_owned()).collect()
    }

    /// How full the outbox is.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn outbox(&self) -> Result<Outbox, AlertsError> {
        Ok(self.lock().store.outbox()?)
    }

    /// Renews the lease, puts the next heartbeat into the outbox, tells what a silence no longer
    /// covers, tidies up once a day. To be called every [`TICK_MS`].
    ///
    /// # Errors
    /// [`StateError::Lost`] when another monitor took over and [`AlertsError::Panicked`]: stop.
    /// Others may pass.
    pub fn tick(&self) -> Result<(), AlertsError> {
        let _fuse = Fuse { alerts: self, who: "the tick" };
        let now_ms = (self.clock)();
        let mut inner = self.lock();
        inner.expect_whole()?;
        inner.store.renew(now_ms)?;
        let slot = now_ms.div_euclid(self.rendering.heartbeat_ms);
        if slot != inner.heartbeat {
            let message = Message::own(Kind::Heartbeat, &self.pipeline, slot, now_ms);
            for route in self.routes.iter().filter(|r| r.events.contains(&Event::Heartbeat)) {
                inner.store.put_heartbeat(&route.name, &message, now_ms)?;
            }
            inner.heartbeat = slot;
        }
        self.tell_unsilenced(&mut inner, now_ms)?;
        let day = now_ms.div_euclid(86_400_000);
        if day != inner.tidied_day {
            inner.store.prune(now_ms)?;
            inner.tidied_day = day;
        }
        self.metrics.state(&inner.book, inner.store.outbox()?);
        drop(inner);
        self.news.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done in memory: whoever panicked had not stored it either.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the book and everything that follows from it, in one transaction; behind it the requests to
    /// train.
    fn take(
        &self,
        step: impl FnOnce(&mut Book) -> Changes,
        facts: &[ModelFacts],
    ) -> Result<Vec<Transition>, AlertsError> {
        let now_ms = (self.clock)();
        let mut inner = self.lock();
        inner.expect_whole()?;
        inner.refresh(&self.rules)?;
        let changes = step(&mut inner.book);
        let stored = self.store_changes(&mut inner, &changes, now_ms);
        if stored.is_ok() && !changes.transitions.is_empty() {
            failpoint::pass("alerts.stored");
        }
        let asked = match stored.and_then(|()| self.requests(&mut inner, facts, now_ms)) {
            Ok(asked) => asked,
            Err(error) => {
                inner.stale = true;
                return Err(error);
            }
        };
        self.metrics.standing(&inner.book);
        drop(inner);
        self.news.notify_all();
        for transition in &changes.transitions {
            metrics::log(transition);
        }
        self.ask(asked, now_ms)?;
        Ok(changes.transitions)
    }

    fn store_changes(
        &self,
        inner: &mut Inner,
        changes: &Changes,
        now_ms: i64,
    ) -> Result<(), AlertsError> {
        let Changes { courses, dropped, groups, transitions: _ } = changes;
        if courses.is_empty() && dropped.is_empty() && groups.is_empty() {
            return Ok(());
        }
        let silences = inner.store.silences(now_ms)?;
        let unheard = inner.store.silenced_episodes()?;
        let told = posts::of(self, changes, &silences, &unheard, now_ms);
        inner.store.record(changes, &told.posts, &told.notes, &told.silenced, now_ms)?;
        Ok(())
    }

    /// Episodes that a silence covered and nothing covers any more.
    fn tell_unsilenced(&self, inner: &mut Inner, now_ms: i64) -> Result<(), AlertsError> {
        let unheard = inner.store.silenced_episodes()?;
        if unheard.is_empty() {
            return Ok(());
        }
        let silences = inner.store.silences(now_ms)?;
        let episodes: Vec<Episode> =
            inner.book.open().filter(|episode| unheard.contains(&episode.id)).cloned().collect();
        for episode in episodes {
            if posts::is_silenced(&episode, &silences, now_ms) {
                continue;
            }
            let message = Message::about(&episode, Kind::Fired, &self.pipeline, now_ms);
            let post = posts::to_routes(self, message);
            let note = posts::note(&episode, "told", "no silence covers it any more".into());
            inner.store.set_silenced(&episode.id, false, &[post], &[note], now_ms)?;
        }
        self.news.notify_all();
        Ok(())
    }
}
