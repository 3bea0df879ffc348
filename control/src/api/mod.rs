//! The APIs of elbow: [`admin`] is its own, JSON over HTTP.
//!
//! Not here: what a change means (`lb::model`), keeping it ([`crate::store`]), its notation ([`crate::schema`]).

pub mod admin;
