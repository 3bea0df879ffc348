//! The APIs of elbow: [`admin`] is its own, JSON over HTTP; [`elb`] is that of Classic ELB.
//!
//! Not here: what a change means (`lb::model`), keeping it ([`crate::store`]), its notation ([`crate::schema`]).

pub mod admin;
pub mod elb;
