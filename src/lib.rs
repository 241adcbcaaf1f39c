//! kprod brings self-managed Kubernetes clusters on AWS to what a Git repository says.

pub mod document;
pub mod error;
pub mod facts;
pub mod finding;
pub mod spec;
pub mod yaml;
