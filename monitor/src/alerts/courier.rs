//! Brings the outbox to the receivers: one thread a route, so that one that hangs holds up nobody
//! else. No lock is held while a receiver is asked.

use std::borrow::Cow;
use std::time::Duration;

use super::{Alerts, AlertsError, Fuse, Inner};
use crate::deliver::{
    FALL_OVER_MS, Http, Kind, MAX_RETRY_AFTER_MS, Message, Next, Outcome, Publish, Rendered,
    Rendering, Route, Target, next, render_resend, rendered,
};
use crate::policy::Severity;
use crate::state::{Attempt, Delivery, Heard, StateError};

/// A courier looks at least so often: a test's clock, or this one, may have moved.
const LOOK: Duration = Duration::from_millis(500);

/// Pause after the state could not be written.
const TROUBLE: Duration = Duration::from_secs(2);

/// Says on `route` that this is a test, once, without any state.
pub fn test_route(
    route: &Route,
    pipeline: &str,
    http: &Http,
    publish: &Publish,
    rendering: &Rendering,
    now_ms: i64,
) -> Outcome {
    let message = Message::own(Kind::Test, pipeline, now_ms, now_ms);
    match rendered(&route.target, &message, rendering, now_ms) {
        Rendered::Http(request) => http.post(&request, now_ms),
        Rendered::Topic { topic, key, payload } => put(publish, &topic, &key, &payload),
        Rendered::Nothing => unreachable!("every receiver knows a test"),
    }
}

fn put(publish: &Publish, topic: &str, key: &str, payload: &[u8]) -> Outcome {
    match publish(topic, key, payload) {
        Ok(()) => Outcome::Delivered,
        Err(error) => Outcome::Failed {
            error: crate::policy::clean(&error, 300),
            retry_after_ms: None,
            heard: Heard::Maybe,
        },
    }
}

impl Alerts {
    /// Delivers until [`Alerts::end_deliveries`], one thread a route. What is waiting then is
    /// delivered by the next start.
    ///
    /// # Errors
    /// [`StateError::Lost`] when another monitor took over, [`AlertsError::Panicked`].
    pub fn run_deliveries(&self) -> Result<(), AlertsError> {
        let ended: Vec<_> = std::thread::scope(|scope| {
            // Where one cannot be started, the scope waits for those that were.
            let _fuse = Fuse { alerts: self, who: "the start of a courier" };
            let couriers: Vec<_> = self
                .routes
                .iter()
                .map(|route| {
                    std::thread::Builder::new()
                        .name(format!("tg-to-{}", route.name))
                        .spawn_scoped(scope, || {
                            let who = format!("the courier of route {:?}", route.name);
                            let _fuse = Fuse { alerts: self, who: &who };
                            self.courier(route)
                        })
                        .expect("the system has threads")
                })
                .collect();
            // Of one that panicked the fuse says so, and has ended the others.
            couriers.into_iter().filter_map(|courier| courier.join().ok()).collect()
        });
        // Nobody to tell is no end: whoever called takes that for one.
        while self.routes.is_empty() && !self.lock().ending {
            self.rest(LOOK);
        }
        self.lock().expect_whole()?;
        ended.into_iter().collect()
    }

    /// Asks [`Alerts::run_deliveries`] to end; what is on its way is waited for.
    pub fn end_deliveries(&self) {
        self.lock().ending = true;
        self.news.notify_all();
    }

    /// Delivers whatever is due on any route at this time, on this thread; answers how many
    /// attempts were made.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn deliver_due(&self) -> Result<usize, AlertsError> {
        let mut attempts = 0;
        loop {
            let before = attempts;
            for route in &self.routes {
                while self.deliver_next(route)? {
                    attempts += 1;
                }
                self.resend(route)?;
            }
            // What fell over may be due on a route that was looked at already.
            if attempts == before {
                return Ok(attempts);
            }
        }
    }

    fn courier(&self, route: &Route) -> Result<(), AlertsError> {
        loop {
            if self.lock().ending {
                return Ok(());
            }
            let done = self.deliver_next(route).and_then(|any| self.resend(route).map(|()| any));
            match done {
                Ok(true) => {}
                Ok(false) => self.rest(LOOK),
                Err(error @ AlertsError::State(StateError::Lost { .. })) => {
                    self.end_deliveries();
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(route = route.name, error = error.to_string(), "alert state");
                    self.rest(TROUBLE);
                }
            }
        }
    }

    fn rest(&self, at_most: Duration) {
        let inner = self.lock();
        if !inner.ending {
            // Poisoned or woken early: the courier looks again either way.
            drop(self.news.wait_timeout(inner, at_most));
        }
    }

    /// One attempt, if anything is due.
    fn deliver_next(&self, route: &Route) -> Result<bool, AlertsError> {
        let now_ms = (self.clock)();
        let target = route.target.fingerprint();
        let (delivery, before, disabled) = {
            let mut inner = self.lock();
            let Some(delivery) = inner.store.next_due(&route.name, now_ms)? else {
                return Ok(false);
            };
            let disabled = inner.store.disabled(&route.name, &target)?;
            if disabled.is_none() && inner.is_held(route, now_ms) {
                return self.pass_by(&mut inner, route, &delivery, now_ms);
            }
            let before = inner.told_otherwise(route, &delivery)?;
            (delivery, before, disabled)
        };
        let message = match before {
            Some(_) => Cow::Owned(Message { before, ..delivery.message.clone() }),
            None => Cow::Borrowed(&delivery.message),
        };
        let outcome = match disabled {
            Some(reason) => Some(Outcome::Gone { error: format!("disabled: {reason}") }),
            None => self.say(&route.target, &message, now_ms),
        };
        // The attempt took its time.
        let now_ms = (self.clock)().max(now_ms);
        let mut inner = self.lock();
        self.settle(&mut inner, route, &delivery, outcome, now_ms)?;
        drop(inner);
        self.news.notify_all();
        Ok(true)
    }

    /// While the receiver wants to be left alone, what would have fallen over by now does so.
    fn pass_by(
        &self,
        inner: &mut Inner,
        route: &Route,
        delivery: &Delivery,
        now_ms: i64,
    ) -> Result<bool, AlertsError> {
        let to = fall_over(route, &delivery.message);
        if to.is_none() || now_ms - delivery.created_ms < FALL_OVER_MS {
            return Ok(false);
        }
        let error = "the receiver wants to be left alone (Retry-After)".to_owned();
        let attempt = Attempt::Over { to, heard: Heard::No, error };
        let dead = inner.store.settle(delivery, &attempt, now_ms)?;
        self.metrics.attempted(route, &delivery.message, &attempt, dead);
        self.news.notify_all();
        Ok(true)
    }

    /// Asks the receiver; `None` when it knows no such message.
    fn say(&self, target: &Target, message: &Message, now_ms: i64) -> Option<Outcome> {
        match rendered(target, message, &self.rendering, now_ms) {
            Rendered::Nothing => None,
            Rendered::Http(request) => Some(self.http.post(&request, now_ms)),
            Rendered::Topic { topic, key, payload } => {
                let way = self.publish.as_ref().expect("asked for when routes were taken");
                Some(put(way, &topic, &key, &payload))
            }
        }
    }

    fn settle(
        &self,
        inner: &mut Inner,
        route: &Route,
        delivery: &Delivery,
        outcome: Option<Outcome>,
        now_ms: i64,
    ) -> Result<(), AlertsError> {
        let to = fall_over(route, &delivery.message);
        let attempt = match outcome {
            None if nobody_misses(&route.target, delivery.message.kind) => Attempt::Skipped,
            None => {
                let (receiver, kind) = (route.target.kind(), delivery.message.kind.name());
                let error = format!("a receiver of kind {receiver} has no message {kind}");
                Attempt::Over { to, heard: Heard::No, error }
            }
            Some(Outcome::Delivered) => Attempt::Delivered,
            Some(Outcome::Refused { error }) => Attempt::Over { to, heard: Heard::No, error },
            Some(Outcome::Gone { error }) => {
                self.disable(inner, route, &error, now_ms)?;
                Attempt::Over { to, heard: Heard::No, error }
            }
            Some(Outcome::Failed { error, retry_after_ms, heard }) => {
                inner.hold(route, retry_after_ms, now_ms);
                let attempts = delivery.attempts + 1;
                let more = to.is_some();
                match next(attempts, retry_after_ms, more, delivery.created_ms, now_ms) {
                    Next::Again(due_ms) => {
                        // The next route does not wait for a receiver that wants to be left alone.
                        let over_ms = (delivery.created_ms + FALL_OVER_MS).max(now_ms + 1);
                        let due_ms = if more { due_ms.min(over_ms) } else { due_ms };
                        Attempt::Again { due_ms, heard, error }
                    }
                    Next::Over => Attempt::Over { to, heard, error },
                }
            }
        };
        let dead = inner.store.settle(delivery, &attempt, now_ms)?;
        self.metrics.attempted(route, &delivery.message, &attempt, dead);
        Ok(())
    }

    /// The receiver said that it is gone for good.
    fn disable(
        &self,
        inner: &mut Inner,
        route: &Route,
        error: &str,
        now_ms: i64,
    ) -> Result<(), AlertsError> {
        let target = route.target.fingerprint();
        if inner.store.disabled(&route.name, &target)?.is_none() {
            inner.store.disable(&route.name, &target, error, now_ms)?;
            self.metrics.disabled(&route.name, error);
        }
        Ok(())
    }

    /// Tells an Alertmanager again what it may have forgotten. Not in the outbox: the next time
    /// replaces this one.
    fn resend(&self, route: &Route) -> Result<(), AlertsError> {
        if !matches!(route.target, Target::Alertmanager { .. }) {
            return Ok(());
        }
        let now_ms = (self.clock)();
        let episodes = {
            let mut inner = self.lock();
            let last_ms = *inner.resent_ms.entry(route.name.clone()).or_insert(now_ms);
            // Held, or not: what is not told again within four intervals ends there, by itself.
            let intervals = if inner.is_held(route, now_ms) { 2 } else { 1 };
            // A clock that went back must not hold it up.
            if (0..intervals * self.rendering.resend_ms).contains(&(now_ms - last_ms)) {
                return Ok(());
            }
            inner.resent_ms.insert(route.name.clone(), now_ms);
            if inner.store.disabled(&route.name, &route.target.fingerprint())?.is_some() {
                return Ok(());
            }
            inner.store.to_resend(&route.name)?
        };
        let request =
            render_resend(&route.target, &self.pipeline, &episodes, &self.rendering, now_ms);
        if let Some(request) = request {
            let outcome = self.http.post(&request, now_ms);
            self.metrics.resent(&route.name, &outcome);
            match &outcome {
                Outcome::Gone { error } => self.disable(&mut self.lock(), route, error, now_ms)?,
                Outcome::Failed { retry_after_ms, .. } => {
                    self.lock().hold(route, *retry_after_ms, now_ms);
                }
                Outcome::Delivered | Outcome::Refused { .. } => {}
            }
        }
        Ok(())
    }
}

/// The route that takes `message` over. A sign of life of yesterday, or from another route, is worth
/// nothing.
fn fall_over(route: &Route, message: &Message) -> Option<String> {
    route.then.clone().filter(|_| message.kind != Kind::Heartbeat)
}

/// Whether nothing is lost on a receiver that has no such message: a sign of life that is not asked
/// for, or an alarm's acknowledgement where only the alarm has a form.
fn nobody_misses(target: &Target, kind: Kind) -> bool {
    kind == Kind::Heartbeat
        || (kind == Kind::Acknowledged && !matches!(target, Target::Topic { .. }))
}

impl Inner {
    /// Keeps the receiver's wish for all that goes to it, within [`MAX_RETRY_AFTER_MS`].
    fn hold(&mut self, route: &Route, retry_after_ms: Option<i64>, now_ms: i64) {
        if let Some(wait) = retry_after_ms.filter(|wait| *wait > 0) {
            self.held_ms.insert(route.name.clone(), now_ms + wait.min(MAX_RETRY_AFTER_MS));
        }
    }

    /// The severity that `route` was told of the episode so far, where the message says another and the receiver
    /// must know. An Alertmanager tells alerts apart by their severity: what it was told before a silence ends with
    /// another one's beginning, and with the episode.
    fn told_otherwise(
        &self,
        route: &Route,
        delivery: &Delivery,
    ) -> Result<Option<Severity>, StateError> {
        let Message { kind, episode, .. } = &delivery.message;
        if !matches!(route.target, Target::Alertmanager { .. })
            || !matches!(kind, Kind::Fired | Kind::Resolved)
        {
            return Ok(None);
        }
        let now = episode.as_ref().map(|episode| episode.severity);
        Ok(self.store.told(delivery)?.filter(|told| Some(*told) != now))
    }

    fn is_held(&self, route: &Route, now_ms: i64) -> bool {
        let left_ms = self.held_ms.get(&route.name).map_or(0, |until_ms| until_ms - now_ms);
        // No wait is longer: the clock went back.
        (1..=MAX_RETRY_AFTER_MS).contains(&left_ms)
    }
}
