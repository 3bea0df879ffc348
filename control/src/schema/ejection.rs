//! `[target_group.ejection]`.

use lb::model;

use super::notation::{count, duration, duration_text};
use super::problem::Wrong;
use super::reader::Reader;
use super::{HOUR, MS};

/// When a target that fails requests is taken out, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Ejection {
    /// Attempts in a row that fail before an answer; 0: nobody is ever taken out.
    #[schema(required = false, default = 5, minimum = 0, maximum = 1000)]
    pub failures: u64,
    /// For how long the first time; twice as long each time it fails again on its return: 100 ms to 24 h.
    #[schema(required = false, default = "10s")]
    pub duration: String,
    /// For how long at most.
    #[schema(required = false, default = "5m")]
    pub duration_max: String,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::Ejection> {
    let default = model::Ejection::default();
    let range = 100 * MS..=24 * HOUR;
    let failures = reader.or("failures", u64::from(default.failures), count(0..=1000));
    let ejection = model::Ejection {
        failures: u32::try_from(failures).unwrap_or(default.failures),
        duration: reader.or("duration", default.duration, duration(range.clone())),
        duration_max: reader.or("duration_max", default.duration_max, duration(range)),
    };
    if ejection.duration > ejection.duration_max {
        let (first, most) = (duration_text(ejection.duration), duration_text(ejection.duration_max));
        let (key, default) =
            if reader.has("duration_max") { ("duration_max", "") } else { ("duration", " (the default)") };
        let wrong = Wrong::new(format!("the longest duration, {most}{default}, is shorter than the first, {first}"));
        reader.problem(key, wrong.hint(format!("write duration_max = \"{first}\", or more")));
    }
    Some(ejection)
}

impl From<&model::Ejection> for Ejection {
    fn from(ejection: &model::Ejection) -> Self {
        Self {
            failures: u64::from(ejection.failures),
            duration: duration_text(ejection.duration),
            duration_max: duration_text(ejection.duration_max),
        }
    }
}
