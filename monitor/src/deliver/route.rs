//! Routes: where messages go, and which ones.

use serde::{Deserialize, Serialize};

use super::{Allowed, Kind, Message, Secret, SigningKey};
use crate::policy::{Class, NAME_FORM, Severity, hash, is_name, matches_any};

/// What a route may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Episodes: fired, upgraded, resolved, acknowledged.
    Alerts,
    /// Requests to train a model again.
    Retraining,
    /// A sign of life, so that silence itself is noticed.
    Heartbeat,
}

/// Who receives, and what it takes to reach it.
#[derive(Clone, Debug)]
pub enum Target {
    /// Standard Webhooks.
    Webhook {
        /// Where to post.
        url: Secret,
        /// The newest first: while keys are rotated, every one signs. None: unsigned.
        keys: Vec<SigningKey>,
        /// Further headers (an access token, say).
        headers: Vec<(String, Secret)>,
    },
    /// Alertmanager, API v2.
    Alertmanager {
        /// Its root; `/api/v2/alerts` is added.
        url: Secret,
        /// Further headers.
        headers: Vec<(String, Secret)>,
    },
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// [`super::PAGERDUTY_URL`], or another region's.
        url: Secret,
        /// The integration's 32 characters.
        routing_key: Secret,
    },
    /// A Slack incoming webhook, or what understands the same.
    Slack {
        /// Whoever has it can post.
        url: Secret,
    },
    /// A Kafka topic, by what the root hands in.
    Topic {
        /// Its name.
        topic: String,
    },
}

/// One way to a receiver.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique.
    pub name: String,
    /// Who receives.
    pub target: Target,
    /// What it wants. None: only what falls over to it.
    pub events: Vec<Event>,
    /// Alerts from this severity on.
    pub min_severity: Severity,
    /// Alerts of these classes; empty: all.
    pub classes: Vec<Class>,
    /// Alerts and requests of these models, with `*`; empty: all.
    pub models: Vec<String>,
    /// The route that takes over when this one does not answer.
    pub then: Option<String>,
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RouteProblem {
    /// The route's member.
    pub key: &'static str,
    /// What is wrong and what would be accepted.
    pub message: String,
}

impl Target {
    /// As written in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager { .. } => "alertmanager",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Slack { .. } => "slack",
            Self::Topic { .. } => "kafka",
        }
    }

    /// The URL; empty for a topic.
    pub fn url(&self) -> &str {
        match self {
            Self::Webhook { url, .. }
            | Self::Alertmanager { url, .. }
            | Self::PagerDuty { url, .. }
            | Self::Slack { url } => url.expose(),
            Self::Topic { .. } => "",
        }
    }

    /// Tells one target from another without saying it: a route that was disabled (410) is tried
    /// again when it leads somewhere else.
    pub fn fingerprint(&self) -> String {
        hash(&["target", self.kind(), self.url()])
    }

    fn may(&self, event: Event) -> bool {
        match event {
            Event::Alerts => !matches!(self, Self::Topic { .. }),
            Event::Retraining => matches!(self, Self::Webhook { .. } | Self::Topic { .. }),
            Event::Heartbeat => matches!(self, Self::Webhook { .. } | Self::Alertmanager { .. }),
        }
    }
}

impl Route {
    /// Whether this route asked for `message`. (A resolve and an acknowledgement go to whoever
    /// heard the trigger, whatever it asks for now.)
    pub fn wants(&self, message: &Message) -> bool {
        let event = match message.kind {
            Kind::Fired | Kind::Upgraded | Kind::Resolved | Kind::Acknowledged => Event::Alerts,
            Kind::Heartbeat => Event::Heartbeat,
            Kind::Retraining => Event::Retraining,
            Kind::Test => return true,
        };
        let fits = message.episode.as_ref().is_none_or(|episode| {
            let model = self.models.is_empty() || matches_any(&self.models, &episode.group.model);
            let alert = event != Event::Alerts
                || (episode.severity >= self.min_severity
                    && (self.classes.is_empty() || self.classes.contains(&episode.group.class)));
            model && alert
        });
        self.events.contains(&event) && fits
    }

    /// Everything that is wrong with it, by itself and beside the others.
    pub fn problems(&self, others: &[Self], allowed: &Allowed) -> Vec<RouteProblem> {
        let mut found = Vec::new();
        let mut problem = |key, message: String| found.push(RouteProblem { key, message });
        if !is_name(&self.name) {
            problem("name", NAME_FORM.into());
        }
        for event in self.events.iter().filter(|event| !self.target.may(**event)) {
            let event = format!("{event:?}").to_lowercase();
            let who = match event.as_str() {
                "alerts" => "webhook, alertmanager, pagerduty or slack",
                "retraining" => "webhook or kafka",
                _ => "webhook or alertmanager: the others would page",
            };
            problem("events", format!("{event} goes to {who}, this is {}", self.target.kind()));
        }
        if let Target::PagerDuty { routing_key, .. } = &self.target {
            let key = routing_key.expose();
            if key.len() != 32 || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
                problem(
                    "routing_key",
                    "must be the 32 letters and digits of an Events API v2 integration".into(),
                );
            }
        }
        if let Target::Topic { topic } = &self.target {
            if topic.is_empty() {
                problem("topic", "is empty: set it to the topic for retraining requests".into());
            }
        } else if let Err(error) = allowed.check_url(self.target.url()) {
            problem("url", error.to_string());
        }
        match self.fall_over(others) {
            Ok(_) => {}
            Err(message) => problem("then", message),
        }
        found
    }

    /// The routes that take over, one after the other.
    fn fall_over<'a>(&'a self, routes: &'a [Self]) -> Result<Vec<&'a Self>, String> {
        let mut chain = vec![self];
        let mut at = self;
        while let Some(then) = &at.then {
            at = routes
                .iter()
                .find(|route| route.name == *then)
                .ok_or_else(|| format!("{then:?} is not the name of a route"))?;
            if chain.iter().any(|route| route.name == at.name) {
                return Err(format!(
                    "{then:?} leads back to {:?}: a message would go round",
                    at.name
                ));
            }
            chain.push(at);
        }
        Ok(chain)
    }
}
