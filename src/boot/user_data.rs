//! User data: the script that a machine's first boot runs. It writes what the machine is told, what
//! fetches its program and what keeps that running, and starts it.
//!
//! The image brings etcd, systemd and python3, which cloud-init itself needs. There is no secret in any of
//! it: whatever the machine needs to know beyond this it asks for by its role.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::Settings;
use super::settings::SETTINGS_FILE;

/// The name of the script among parts of user data.
pub const PART: &str = "kprod-node.sh";
/// The service that keeps `kprod node etcd` running.
pub const SERVICE: &str = "kprod-node-etcd.service";
/// Variables for the program and for what fetches it, such as a proxy or the endpoint of a private link:
/// the image may bring it.
pub const ENVIRONMENT_FILE: &str = "/etc/kprod/environment";
/// The most bytes of the script, for names of usual length. Source: EC2 takes 16 KB of user data in all,
/// most of which is left to others.
pub const BYTES_MAX: usize = 4096;

const FETCH: &str = include_str!("fetch.py");
const UNIT: &str = include_str!("kprod-node-etcd.service");
/// What ends a file in the script; no file has such a line.
const END: &str = "END-OF-FILE";

/// The script for a machine that is told this.
pub fn script(settings: &Settings) -> String {
    let told = told(settings);
    let unit = format!("/etc/systemd/system/{SERVICE}");
    let files = [(SETTINGS_FILE, told.as_str()), ("/etc/kprod/fetch.py", FETCH), (&unit, UNIT)];
    let mut text = "#!/bin/sh\n# Written by kprod.\nset -eu\nmkdir -p /etc/kprod\n".to_owned();
    for (path, content) in files {
        text.push_str(&format!("cat >{path} <<'{END}'\n{content}{END}\n"));
    }
    text.push_str(&format!(
        "systemctl daemon-reload\nsystemctl enable {SERVICE}\nsystemctl start --no-block {SERVICE}\n"
    ));
    text
}

/// What a machine's user data tells it; none where no part of it is a script of kprod's, or of one that
/// this kprod does not read.
pub fn settings_in(user_data: &str) -> Option<Settings> {
    let (_, rest) = user_data.split_once(&format!("cat >{SETTINGS_FILE} <<'{END}'\n"))?;
    let (body, _) = rest.split_once(&format!("\n{END}\n"))?;
    Settings::parse(body.as_bytes()).ok()
}

/// What a machine is told, as JSON with a line for each field: short, and a plan that changes one shows no
/// other.
fn told(settings: &Settings) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Lines { depth: 0 });
    // Paths, names and numbers, into memory: this cannot fail.
    let _ = settings.shortened().serialize(&mut serializer);
    String::from_utf8(text).unwrap_or_default()
}

/// Begins each field of the whole on a line of its own.
struct Lines {
    depth: usize,
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b"," })?;
        writer.write_all(if self.depth == 1 { b"\n" } else { b"" })
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(if self.depth == 0 { b"\n}\n" } else { b"}" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::super::settings::tests::settings;
    use super::*;

    /// The content of a file that the script writes.
    fn file<'s>(script: &'s str, path: &str) -> &'s str {
        let begin = format!("cat >{path} <<'{END}'\n");
        let (_, rest) = script.split_once(&begin).unwrap();
        &rest[..rest.find(&format!("{END}\n")).unwrap()]
    }

    #[test]
    fn the_script_holds_what_the_machine_is_told_and_what_it_runs() {
        let settings = settings();
        let script = script(&settings);
        assert!(script.len() <= BYTES_MAX, "{}", script.len());
        let lines = file(&script, SETTINGS_FILE).lines();
        assert!(lines.clone().any(|line| line == "\"region\":\"eu-west-3\","), "{script}");
        assert_eq!(lines.clone().count(), 11, "{script}");
        assert_eq!(Settings::parse(file(&script, SETTINGS_FILE).as_bytes()), Ok(settings.clone()));
        let among_others = format!("--part\n#cloud-config\n--part\n{script}--part--\n");
        assert_eq!(settings_in(&among_others), Some(settings));
        assert_eq!(settings_in("#!/bin/sh\ncat /etc/kprod/node.json\n"), None);
        assert_eq!(file(&script, "/etc/kprod/fetch.py"), FETCH);
        assert_eq!(file(&script, &format!("/etc/systemd/system/{SERVICE}")), UNIT);
        for content in [FETCH, UNIT] {
            assert!(content.ends_with('\n') && !content.lines().any(|line| line == END));
        }
    }

    /// What the program is told of the rest of the machine is where the rest looks for it.
    #[test]
    fn the_service_reads_what_the_script_writes() {
        assert!(UNIT.contains(&format!("EnvironmentFile=-{ENVIRONMENT_FILE}\n")));
        assert!(UNIT.contains("ExecStartPre=/usr/bin/python3 /etc/kprod/fetch.py\n"));
        assert!(FETCH.contains(&format!("open(\"{SETTINGS_FILE}\")")));
        let program = "/var/lib/kprod/bin/kprod";
        assert!(FETCH.contains(&format!("\"{program}\"")));
        assert!(UNIT.contains(&format!("ExecStart={program} node etcd\n")));
        // `Refused` of the exit codes: only people can decide.
        assert!(UNIT.contains("RestartPreventExitStatus=5\n"));
        assert!(UNIT.contains("StartLimitBurst="), "it is not started for ever");
    }
}
