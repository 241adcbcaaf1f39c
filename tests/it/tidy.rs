//! The house rules that a compiler does not check: who may import whom, no forgotten test file, no
//! unfinished business.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may import from. Vocabulary, then pure stages, then ports, then drivers, then
/// the command line: arrows never turn.
pub(crate) const IMPORTS: &[(&str, &[&str])] = &[
    ("error", &["finding"]),
    ("finding", &[]),
    ("yaml", &["finding"]),
    ("document", &["finding", "yaml"]),
    ("facts", &[]),
    ("resource", &[]),
    ("etcd", &[]),
    ("event", &["resource", "plan", "roll"]),
    ("state", &["facts"]),
    ("source", &["finding", "yaml", "document"]),
    ("boot", &["etcd"]),
    ("spec", &["boot", "etcd", "finding", "yaml", "document", "facts"]),
    ("lint", &["finding", "spec", "pki"]),
    ("pki", &["etcd"]),
    ("desired", &["boot", "spec", "resource", "facts", "finding", "cloud", "state", "etcd", "pki"]),
    ("cloud", &["boot", "resource", "facts", "sim", "state", "etcd", "pki"]),
    ("epoch", &["cloud", "etcd"]),
    ("node", &["boot", "cloud", "epoch", "etcd", "pki", "snapshot"]),
    ("kube", &["cloud", "etcd", "resource", "sim"]),
    ("permission", &["cloud", "desired", "facts", "pki", "resource", "state"]),
    ("plan", &["resource", "cloud", "finding", "facts", "pki"]),
    (
        "rehearsal",
        &[
            "apply", "boot", "cloud", "desired", "error", "etcd", "event", "finding", "kube",
            "plan", "resource", "roll", "sim", "source", "spec",
        ],
    ),
    ("restore", &["apply", "cloud", "epoch", "error", "etcd", "event", "plan", "resource", "roll"]),
    ("snapshot", &["cloud", "etcd"]),
    ("roll", &["apply", "cloud", "error", "etcd", "event", "kube", "plan", "resource", "spec"]),
    ("sim", &["boot", "resource", "cloud", "etcd", "facts", "kube", "pki"]),
    ("apply", &["plan", "cloud", "event", "resource", "error", "finding"]),
    ("doctor", &["finding", "lint", "plan", "cloud", "resource", "apply"]),
    (
        "ui",
        &[
            "error",
            "event",
            "finding",
            "permission",
            "plan",
            "resource",
            "cloud",
            "source",
            "state",
            "apply",
            "doctor",
            "etcd",
            "kube",
            "pki",
            "rehearsal",
            "roll",
        ],
    ),
];

/// Rooms that may import everything.
const EDGES: &[&str] = &["bin", "cli", "main", "lib"];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(room, others)| (*room, others.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let room = room_of(&file);
        let is_test = file
            .components()
            .any(|c| ["tests", "tests.rs"].map(Some).contains(&c.as_os_str().to_str()));
        if EDGES.contains(&room.as_str()) || is_test {
            continue;
        }
        let allowed = table
            .get(room.as_str())
            .unwrap_or_else(|| panic!("src/{room} stands in no row of the import table"));
        for other in imports(&product_code(&fs::read_to_string(&file).unwrap())) {
            if other != room && !allowed.contains(other.as_str()) {
                wrong.push(format!("{}: {room} may not import {other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sdk_types_stay_in_their_room() {
    let aws = root().join("src/cloud/aws");
    let strangers: Vec<PathBuf> = rust_files(&root().join("src"))
        .into_iter()
        .filter(|file| !file.starts_with(&aws))
        .filter(|file| {
            let code = fs::read_to_string(file).unwrap();
            code.contains("aws_sdk_") || code.contains("aws_config::")
        })
        .collect();
    assert!(strangers.is_empty(), "AWS SDK used outside src/cloud/aws: {strangers:?}");
}

#[test]
fn no_test_file_is_forgotten() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(
            module == "main" || main.contains(&format!("mod {module};")),
            "tests/it/{name} is not named in tests/it/main.rs"
        );
    }
}

#[test]
fn nothing_is_left_open() {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "XXX"];
    for file in rust_files(&root().join("src")) {
        let code = fs::read_to_string(&file).unwrap();
        for mark in marks {
            assert!(!code.contains(mark), "{} holds `{mark}`", file.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The first folder or file below `src`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Code before the file's tests: those may borrow from every room.
fn product_code(code: &str) -> String {
    code.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Rooms named after `crate::`, in imports and in paths; doc comments do not count.
fn imports(code: &str) -> BTreeSet<String> {
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .filter(|room: &String| !room.is_empty())
        .collect()
}
