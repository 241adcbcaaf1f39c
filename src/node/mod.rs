//! What kprod does on a machine: `kprod node`, the same program, started by the machine's own user data.
//!
//! `host` is the machine: its disks, files and services, by the system's own tools. `etcd` brings up and
//! looks after the etcd members that the machine hosts. What they are to do is decided elsewhere, by pure
//! functions; here it is done.

pub mod etcd;
pub mod host;
mod time;
