//! Automatic certificates: ordering them from an authority (ACME, RFC 8555), and renewing them in time.
//!
//! In reading order: [`keeper`] is the task that knows of every automatic certificate how it goes with it; [`schedule`]
//! says when (pure); an [`order`] is one way from asking to a certificate, with an [`account`] and over [`http`].
//! Not here: showing that a name is ours ([`lb::challenges`]), what is kept ([`crate::store`]).

mod account;
mod failure;
mod http;
mod keeper;
mod order;
mod schedule;

pub use keeper::AcmeKeeper;
