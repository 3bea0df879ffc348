//! elbow's control side: what is wanted and how it is kept, the file it may come from, and the admin API.
//!
//! In reading order: [`schema`] is the one native document and its seam to [`lb::model`], [`mod@file`] reads it from
//! TOML, [`certificates`] reads the files it names, [`store`] keeps what the API was told, [`api`] is how it is told, [`readiness`] says whether traffic may come,
//! and [`secrets`] are made on the first start.
//! Not here: traffic (crate `lb`) and probes (crate `health`).

pub mod acme;
pub mod api;
pub mod aws;
pub mod certificates;
pub mod discover;
pub mod elb;
pub mod file;
pub mod instances;
pub mod readiness;
pub mod schema;
pub mod secrets;
pub mod store;
pub mod xml;
