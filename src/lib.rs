//! The binary `elbow` as a library: what its verbs do, and [`app`], the one place where all parts are joined.
//!
//! In reading order: [`app`] starts and stops a whole elbow, [`settings`] says what was asked of it, [`run_file`]
//! tells others where it runs, [`signals`] and [`logging`] tie it to its surroundings, [`cli`] is what people type
//! and [`client`] how a verb talks to a running elbow. Not here: anything that serves, checks or stores.

pub mod app;
pub mod cli;
pub mod client;
#[cfg(test)]
mod docs;
mod follow;
pub mod logging;
pub mod run_file;
pub mod settings;
pub mod signals;
pub mod version;
