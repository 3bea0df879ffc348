//! `[target_group.stickiness]`.

use std::time::Duration;

use lb::model;
use lb::model::{CookieName, OWN_COOKIE_NAME, OnUnavailable, StickyBy};
use serde_json::Value;

use super::notation::{Words, duration, duration_text, parsed};
use super::problem::Wrong;
use super::reader::Reader;
use super::{DAY, SECOND};

const TYPE: Words<Type> = Words {
    what: "type of stickiness",
    now: &[("lb_cookie", Type::LbCookie), ("app_cookie", Type::AppCookie), ("source_ip", Type::SourceIp)],
    later: &[],
};
const ON_UNAVAILABLE: Words<OnUnavailable> =
    Words { what: "behaviour", now: &[("repick", OnUnavailable::Repick), ("fail", OnUnavailable::Fail)], later: &[] };
/// The longest that a binding may be asked to hold: browsers keep no cookie much longer.
const DURATION_MAX: Duration = Duration::from_secs(365 * DAY.as_secs());

/// What keeps a client at its target.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Stickiness {
    /// By what a client is known again: `lb_cookie`, `app_cookie` or `source_ip`.
    #[serde(rename = "type")]
    #[schema(required = false, default = "lb_cookie")]
    pub kind: String,
    /// The cookie that elbow sets, `ELBOW` if absent; with `app_cookie` the application's, which must be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_name: Option<String>,
    /// How long a binding holds, 1 s to 365 days; absent: as long as the browser runs. `lb_cookie` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// What becomes of a client whose target cannot take it now: `repick` or `fail` (503).
    #[schema(required = false, default = "repick")]
    pub on_unavailable: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    LbCookie,
    AppCookie,
    SourceIp,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::Stickiness> {
    let by = match reader.or("type", Type::LbCookie, |value| TYPE.parse(value)) {
        Type::LbCookie => {
            let name = reader.or("cookie_name", CookieName::parse(OWN_COOKIE_NAME).ok()?, parsed(CookieName::parse));
            Some(StickyBy::LbCookie { name, duration: reader.or("duration", None, |value| holds(value).map(Some)) })
        }
        Type::AppCookie => {
            refuse_duration(reader, "the binding lasts as long as the application's cookie");
            reader.required("cookie_name", application_cookie).map(|name| StickyBy::AppCookie { name })
        }
        Type::SourceIp => {
            refuse_duration(reader, "the address alone decides");
            reader
                .refuse("cookie_name", || Wrong::new("`cookie_name` means nothing to source_ip, which sets no cookie"));
            Some(StickyBy::SourceIp)
        }
    };
    let on_unavailable = reader.or("on_unavailable", OnUnavailable::Repick, |value| ON_UNAVAILABLE.parse(value));
    Some(model::Stickiness::new(by?, on_unavailable))
}

fn holds(value: &Value) -> Result<Duration, Wrong> {
    let duration = duration(SECOND..=DURATION_MAX)(value)?;
    if duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    let wrong = Wrong::new(format!("{} is not a whole number of seconds", duration_text(duration)));
    Err(wrong.hint(format!("cookies count in seconds: write \"{}s\"", duration.as_secs())))
}

fn refuse_duration(reader: &mut Reader<'_>, instead: &str) {
    reader.refuse("duration", || Wrong::new("`duration` belongs to lb_cookie").hint(instead));
}

fn application_cookie(value: &Value) -> Result<CookieName, Wrong> {
    let name = parsed(CookieName::parse)(value)?;
    if name.as_str() == OWN_COOKIE_NAME {
        let wrong = Wrong::new(format!("{OWN_COOKIE_NAME} is the cookie that elbow sets beside the application's"));
        return Err(wrong.hint("name the application's own cookie, such as \"JSESSIONID\""));
    }
    Ok(name)
}

impl From<&model::Stickiness> for Stickiness {
    fn from(stickiness: &model::Stickiness) -> Self {
        let (kind, cookie_name, duration) = match &stickiness.by {
            StickyBy::LbCookie { name, duration } => (Type::LbCookie, Some(name), *duration),
            StickyBy::AppCookie { name } => (Type::AppCookie, Some(name), None),
            StickyBy::SourceIp => (Type::SourceIp, None, None),
        };
        Self {
            kind: TYPE.word(kind),
            cookie_name: cookie_name.map(ToString::to_string),
            duration: duration.map(duration_text),
            on_unavailable: ON_UNAVAILABLE.word(stickiness.on_unavailable),
        }
    }
}
