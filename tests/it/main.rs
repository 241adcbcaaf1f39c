//! The one integration-test binary: laws and stories that cross rooms. One module per room.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panicking, and works on files of its own"
)]

mod apply;
#[cfg(feature = "aws")]
mod aws;
mod bad_days;
mod bad_input;
mod call_bound;
mod cli;
mod contract;
mod crash;
mod desired;
mod doctor;
mod drill;
mod env;
mod epochs;
#[cfg(feature = "node")]
mod etcd;
mod honour;
mod kube_api;
#[cfg(feature = "aws")]
mod kube_client;
mod lease;
mod members;
mod names;
mod on_call;
mod outages;
mod permission;
mod pki;
mod readme;
mod rehearsal;
mod report;
mod restore;
mod roll;
mod rolling;
mod sim;
mod spec;
mod story;
mod survivor;
mod tidy;
#[cfg(feature = "node")]
mod user_data;
