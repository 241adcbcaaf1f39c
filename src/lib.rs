//! kprod brings self-managed Kubernetes clusters on AWS to what a Git repository says.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests work on files of their own"))]

pub mod apply;
pub mod boot;
pub mod cli;
pub mod cloud;
pub mod desired;
pub mod doctor;
pub mod document;
pub mod epoch;
pub mod error;
pub mod etcd;
pub mod event;
pub mod facts;
pub mod finding;
pub mod kube;
pub mod lint;
#[cfg(feature = "node")]
pub mod node;
pub mod permission;
pub mod pki;
pub mod plan;
pub mod rehearsal;
pub mod resource;
pub mod restore;
pub mod roll;
pub mod sim;
pub mod snapshot;
pub mod source;
pub mod spec;
pub mod state;
pub mod ui;
pub mod yaml;
