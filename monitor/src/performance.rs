//! How well a model answers: realised where labels have come, estimated where they have not.
//!
//! Pure: pairs of an answer and its label go in one by one, in any order, and finite numbers come
//! out. Every accumulator merges to what the whole would have given, and has a bound on its memory.
//! Nothing here returns NaN or an infinity. The defined answers:
//!
//! | case | answer |
//! |---|---|
//! | no pair | `None` |
//! | a class that was never predicted | its precision is `None`, and counts as 0 in a mean over classes |
//! | a class that never was the label | its recall is `None`, and counts as 0 in a mean over classes |
//! | labels of one class only | AUC is `None`; log loss and Brier are defined |
//! | a score that is NaN or outside of 0 to 1, a number that is not finite | counted as invalid, in nothing else |
//! | fewer than two rows | no standard error |
//! | squares past the largest double | a standard error of 0 |
//! | too few labels to calibrate by ([`MIN_ROWS`], [`MIN_OF_EACH`]) | scores are taken for probabilities |
//! | a sum past the largest double | `f64::MAX` |

mod calibration;
mod confusion;
mod errors;
mod estimate;
mod ranking;
mod reliability;
mod scores;
mod spread;
mod sum;
#[cfg(test)]
mod tests;

pub use calibration::Calibration;
pub use confusion::{Confusion, MAX_CLASSES, OfClass};
pub use errors::Errors;
pub use estimate::{Estimate, Estimated};
pub use ranking::{Auc, MAX_DISTINCT};
pub use reliability::{MIN_OF_EACH, MIN_ROWS, Point, Reliability};
pub use scores::{CLIP, Scores};
pub use spread::Spread;
