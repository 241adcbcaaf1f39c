//! Conversions by fixtures, messages by what they have to name, the picture by what it is fed.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod access;
mod convert;
mod error;
mod picture;
