//! `[labels]`: where the truth comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Config, Problem};

/// Two years: for so long each window waits for its labels.
const MAX_TTL_SECONDS: u32 = 2 * 366 * 86_400;

/// Figures that a baseline may be given for.
pub(crate) const FIGURES: [&str; 9] =
    ["accuracy", "precision", "recall", "f1", "auc", "log_loss", "brier", "mae", "rmse"];

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Labels {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) label: String,
    pub(crate) time: String,
    pub(crate) ttl_seconds: u32,
    pub(crate) prediction: String,
    pub(crate) score: String,
    pub(crate) baseline: BTreeMap<String, f64>,
}

/// Every rule about labels that the configuration breaks.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let topic = &config.labels.topic;
    let others = [
        ("input.topic", &config.input.topic),
        ("output.topic", &config.output.topic),
        ("dead_letters.topic", &config.dead_letters.topic),
    ];
    let same = others.into_iter().filter(|(_, other)| !topic.is_empty() && *other == topic);
    let mut found: Vec<Problem> = same
        .map(|(key, _)| Problem {
            key: "labels.topic".into(),
            value: topic.clone(),
            message: format!(
                "is {key}: labels come later, on a topic of their own; name it, or leave it empty"
            ),
        })
        .collect();
    let ttl = config.labels.ttl_seconds;
    if !(1..=MAX_TTL_SECONDS).contains(&ttl) {
        found.push(Problem {
            key: "labels.ttl_seconds".into(),
            value: ttl.to_string(),
            message: format!("must be 1 to {MAX_TTL_SECONDS} (two years)"),
        });
    }
    for (name, value) in &config.labels.baseline {
        if !FIGURES.contains(&name.as_str()) || !value.is_finite() {
            found.push(Problem {
                key: format!("labels.baseline.{name}"),
                value: value.to_string(),
                message: format!("must be a number, for one of {}", FIGURES.join(", ")),
            });
        }
    }
    found
}
