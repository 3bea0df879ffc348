//! Why a request went where it went: what each worker remembers of recent requests, and how it is asked.
//!
//! A [`Record`] is what is remembered of one request: the choices that were made for it, each with who was compared
//! and what came of it. A [`Recorder`] is a worker's own memory, bounded and sampled under load, which no other thread
//! touches; an [`Explainer`] asks the workers by message, and they answer between requests. Not here: making choices
//! (`balance`, `affinity`), telling of them in JSON or in tables.

mod ask;
mod passed;
mod record;
mod recorder;

pub use ask::{Explained, Explainer};
pub(crate) use ask::{Mailbox, mailboxes};
pub use passed::{Passed, passed_over};
pub use record::{CONSIDERED_KEPT_MAX, Choice, Outcome, Record};
pub use recorder::{BURST, REFILL_PER_S, Recorder};
pub(crate) use recorder::{Draft, Start};
