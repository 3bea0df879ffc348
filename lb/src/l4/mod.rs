//! Streams: the way of one connection whose bytes are passed on as they are.
//!
//! In reading order: a [`session`] is the recipe for one connection; [`choose`] finds the target it goes to, [`relay`]
//! carries bytes both ways, each a [`way`]; [`account`] counts and logs it. Not here: accepting (`listen`), which
//! target it is (`balance`), requests (`proxy`, whose doors, tethers and buffers are used here).

mod account;
mod choose;
mod relay;
mod session;
mod way;

pub(crate) use session::serve;
