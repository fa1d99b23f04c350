//! Answers kept for a moment, so that many who look cost as much as one. Bounded in number and bytes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

/// How old an answer may be: pages ask every ten seconds, windows come every few minutes.
const FRESH: Duration = Duration::from_secs(3);
/// Answers that are kept.
const MOST: usize = 64;
/// Bytes that are kept.
const MOST_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Answers {
    kept: Mutex<HashMap<String, (Instant, Bytes)>>,
}

impl Answers {
    /// The answer to `question`, if it is young enough at `now`.
    pub(super) fn get(&self, question: &str, now: Instant) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, answer) = kept.get(question)?;
        (now.saturating_duration_since(*made) < FRESH).then(|| answer.clone())
    }

    /// Keeps an answer made at `now`.
    pub(super) fn put(&self, question: String, answer: Bytes, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (made, _)| now.saturating_duration_since(*made) < FRESH);
        let bytes: usize = kept.values().map(|(_, answer)| answer.len()).sum();
        if kept.len() >= MOST || bytes + answer.len() > MOST_BYTES {
            kept.clear();
        }
        kept.insert(question, (now, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_grow_old_and_never_many() {
        let (answers, start) = (Answers::default(), Instant::now());
        answers.put("a".into(), Bytes::from_static(b"1"), start);
        assert_eq!(answers.get("a", start).as_deref(), Some(&b"1"[..]));
        assert_eq!(answers.get("b", start), None);
        assert_eq!(answers.get("a", start + FRESH), None);
        for number in 0..10 * MOST {
            answers.put(number.to_string(), Bytes::from_static(b"x"), start);
            assert!(answers.kept.lock().unwrap().len() <= MOST);
        }
        for number in 0..10 {
            let large = Bytes::from(vec![0; MOST_BYTES / 3]);
            answers.put(number.to_string(), large, start);
            let bytes: usize = answers.kept.lock().unwrap().values().map(|(_, it)| it.len()).sum();
            assert!(bytes <= MOST_BYTES, "{bytes}");
        }
    }
}
