//! The way of one request, from a client's connection to a target's and back.
//!
//! In reading order: a [`client`] connection hears one request head after the other; [`handle`] is the recipe for
//! each; [`sticky`] knows where a client belongs, and [`retry`] finds a target that answers by one [`attempt`] after another; an [`exchange`] moves request and
//! answer at once, each a [`flow`] through a buffer of the [`desk`]; [`headers`] says what heads become, [`upgrade`]
//! what follows a 101; [`error`] and [`respond`] are the failures and what a client is told of them. A [`door`] is a
//! listener as one worker serves it, [`local`] what the connections of a worker share, and a [`tether`] how the worker
//! reaches one of them.
//!
//! A [`dry_run`] asks what would be chosen, and sends nothing.
//!
//! Not here: sockets and threads (`listen`), which target it is (`balance`), the grammar (`http1`).

mod account;
mod arrival;
mod attempt;
mod body;
mod buffers;
mod challenge;
mod client;
mod deadline;
mod desk;
mod door;
mod dry_run;
mod error;
mod exchange;
mod flow;
mod handle;
mod hash_key;
mod headers;
mod local;
mod metered;
mod outgoing;
mod pipes;
mod redirect;
mod request_id;
mod respond;
mod retry;
mod secure;
mod sticky;
mod tether;
mod trace;
mod upgrade;
mod waiting;

pub(crate) use arrival::Arrival;
pub(crate) use buffers::{BigBuffer, Buffer, SMALL_BYTES, Shelf};
pub(crate) use client::{refuse, serve};
pub(crate) use deadline::Deadline;
pub(crate) use door::{Door, Front};
pub use dry_run::{DRAWS, DryRequest, DryRun, NoRequest};
pub(crate) use local::{Local, Tied};
pub(crate) use pipes::Pipe;
pub(crate) use secure::{secure, serve_secure};
pub(crate) use sticky::is_new;
pub(crate) use tether::Tether;
pub(crate) use waiting::{InLine, Waited, Waiter};
