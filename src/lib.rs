//! kprod brings self-managed Kubernetes clusters on AWS to what a Git repository says.

pub mod apply;
pub mod cli;
pub mod cloud;
pub mod desired;
pub mod document;
pub mod error;
pub mod event;
pub mod facts;
pub mod finding;
pub mod plan;
pub mod resource;
pub mod sim;
pub mod source;
pub mod spec;
pub mod ui;
pub mod yaml;
