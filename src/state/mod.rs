//! The state bucket as a thing of its own: where it is, how it should be set up, and the steps that
//! bring it there.
//!
//! Pure: settings found and settings wanted are values, and so are the steps between them.

mod address;
mod policy;
mod settings;
#[cfg(test)]
mod tests;

pub use address::StateAddress;
pub use settings::{
    AccessBlock, BucketSettings, BucketStep, Encryption, VersionRule, WantedBucket, steps,
};
