//! What the README quotes from the code is what the code says.

use std::fs;

use kprod::error::ExitCode;
use kprod::lint::LINTS;
use kprod::spec::CARRIED;

use crate::env;
use crate::tidy::IMPORTS;

/// Files whose documentation has tables that the README repeats.
const QUOTED: [&str; 8] = [
    "src/source/mod.rs",
    "src/spec/fill/rollout.rs",
    "src/ui/json/pki.rs",
    "src/ui/json/plan.rs",
    "src/ui/json/doctor.rs",
    "src/ui/json/roll.rs",
    "src/ui/json/status.rs",
    "src/ui/progress/roll/wire.rs",
];

fn readme() -> String {
    fs::read_to_string(env::root().join("README.md")).unwrap()
}

/// The lines of the tables in a file's own documentation.
fn tables(file: &str) -> Vec<String> {
    let code = fs::read_to_string(env::root().join(file)).unwrap();
    let lines = code.lines().filter_map(|line| line.strip_prefix("//! "));
    let rows: Vec<String> = lines.filter(|line| line.starts_with('|')).map(str::to_owned).collect();
    assert!(!rows.is_empty(), "{file} documents no table");
    rows
}

#[test]
fn tables_of_the_code_stand_in_the_readme() {
    let readme = readme();
    let missing: Vec<String> = QUOTED
        .into_iter()
        .flat_map(tables)
        .filter(|row| !readme.lines().any(|l| l == row))
        .collect();
    assert!(missing.is_empty(), "not in README.md:\n{}", missing.join("\n"));
}

#[test]
fn every_field_that_shapes_nothing_is_named() {
    let readme = readme();
    for carried in CARRIED {
        assert!(
            readme.contains(&format!("`{}`", carried.path)),
            "README.md lacks {}",
            carried.path
        );
    }
}

#[test]
fn every_lint_is_told_of() {
    let readme = readme();
    for lint in LINTS {
        assert!(readme.contains(&format!("| {} |", lint.id)), "README.md lacks {}", lint.id);
    }
}

#[test]
fn exit_codes_mean_what_the_help_says() {
    let readme = readme();
    let folder = env::fleet();
    let help = env::kprod(folder.path()).arg("exit-codes").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains(&format!("{} ", ExitCode::Usage as i32)));
    for line in help.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | {} |", meaning.trim())), "{line}");
    }
}

#[test]
fn the_table_of_rooms_is_the_one_that_is_enforced() {
    let readme = readme();
    let (_, readme) = readme.split_once("### Rooms").unwrap();
    let row = |room: &str| {
        let start = format!("| `{room}` |");
        let row = readme.lines().find(|line| line.starts_with(&start));
        row.unwrap_or_else(|| panic!("README.md has no row for src/{room}"))
    };
    for (room, imports) in IMPORTS {
        let imports: Vec<String> = imports.iter().map(|other| format!("`{other}`")).collect();
        let expected = format!("| {} |", imports.join(", ")).replace("|  |", "| |");
        assert!(row(room).ends_with(&expected), "src/{room} may import {expected}");
    }
}
