//! A clean room for the program: a copy of the fleet, an empty environment, and output without what
//! changes from run to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A copy of the repository's fleet in a folder of its own.
pub(crate) fn fleet() -> TempDir {
    let folder = TempDir::new().unwrap();
    fleet_into(folder.path());
    folder
}

/// Copies the repository's fleet into a folder.
pub(crate) fn fleet_into(folder: &Path) {
    for part in ["templates", "snippets", "vars", "examples"] {
        copy(&root().join(part), &folder.join(part));
    }
    fs::copy(root().join("kprod.lock"), folder.join("kprod.lock")).unwrap();
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The program, ready to run in a folder.
pub(crate) fn kprod(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
    harden(&mut command);
    command.current_dir(folder);
    command
}

/// Takes away whatever could differ between two machines; `kprod` is on the path.
pub(crate) fn harden(command: &mut Command) {
    let program = Path::new(env!("CARGO_BIN_EXE_kprod")).parent().unwrap();
    command
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.display()))
        .env("USER", "tester")
        .env("LANG", "C.UTF-8")
        .env("COLUMNS", "80");
}

/// Replaces what differs from run to run: the folder's path, times, durations, process ids, and the
/// ids that the cloud gives, with the revisions that hold them: they depend on the order of
/// concurrent calls.
pub(crate) fn redact(text: &str, folder: &Path) -> String {
    let text = text.replace(&*folder.to_string_lossy(), "FLEET");
    let text = replace_times(&text);
    let text = replace_after(&text, "(process ", ')', "PID");
    text.split_inclusive([' ', ',', ';', '\n', '"']).map(redact_word).collect()
}

/// A word without its duration, id or revision; what ends it stays.
fn redact_word(word: &str) -> String {
    let core = word.trim_end_matches([' ', ',', ';', '\n', '"', ')', '.']);
    let tail = &word[core.len()..];
    if is_duration(core) {
        return format!("DURATION{tail}");
    }
    if let Some((version, revision)) = core.split_once(':')
        && version.parse::<u64>().is_ok()
        && is_hex(revision, 16)
    {
        return format!("{version}:REVISION{tail}");
    }
    let prefixes = ["i-", "sg-", "eni-", "vol-", "sgr-"];
    match prefixes.iter().find(|prefix| core.starts_with(*prefix)) {
        Some(prefix) if is_hex(&core[prefix.len()..], 17) => format!("{prefix}ID{tail}"),
        _ => word.to_owned(),
    }
}

/// Such as `65ms`, `3s` or `1m14s`.
fn is_duration(word: &str) -> bool {
    let units = word.trim_start_matches(|c: char| c.is_ascii_digit() || "msh".contains(c));
    units.is_empty()
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with(['s', 'm', 'h'])
}

/// So many hexadecimal digits, as in ids of AWS and in revisions.
fn is_hex(digits: &str, count: usize) -> bool {
    digits.len() == count && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// Replaces RFC 3339 times.
fn replace_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(index) = rest.find("20") {
        out.push_str(&rest[..index]);
        let length = time_length(&rest[index..]);
        match length {
            0 => {
                out.push_str("20");
                rest = &rest[index + 2..];
            }
            length => {
                out.push_str("TIME");
                rest = &rest[index + length..];
            }
        }
    }
    out + rest
}

/// Bytes of the RFC 3339 time that the text starts with; 0 if it does not.
fn time_length(text: &str) -> usize {
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let fits = bytes.len() >= pattern.len()
        && pattern.iter().zip(bytes).all(|(p, b)| match p {
            b'd' => b.is_ascii_digit(),
            other => other == b,
        });
    if !fits {
        return 0;
    }
    let tail =
        text[pattern.len()..].chars().take_while(|c| c.is_ascii_digit() || ".Z".contains(*c));
    pattern.len() + tail.count()
}

/// Replaces what stands between a prefix and the next `end`.
fn replace_after(text: &str, prefix: &str, end: char, with: &str) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let tail = part.find(end).map_or("", |index| &part[index..]);
        out.push_str(prefix);
        out.push_str(with);
        out.push_str(tail);
    }
    out
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn what_differs_from_run_to_run_is_replaced_and_nothing_else() {
    let folder = Path::new("/tmp/fleet");
    let text = "/tmp/fleet/a took 1m14s, 65ms; i-0a1b2c3d4e5f60718, 15 GiB of m6i.large\n";
    assert_eq!(
        redact(text, folder),
        "FLEET/a took DURATION, DURATION; i-ID, 15 GiB of m6i.large\n"
    );
    assert_eq!(redact("1:00ff00ff00ff00ff -> 2:x", folder), "1:REVISION -> 2:x");
    assert_eq!(redact("at 2026-11-21T07:46:47.446Z", folder), "at TIME");
    assert_eq!(redact("(until 2026-11-21T07:46:47Z at most)", folder), "(until TIME at most)");
}
