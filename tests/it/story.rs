//! Stories: Markdown files whose `console` blocks are run by the real program in a copy of the
//! fleet, the README among them. What stands there is what the program prints.
//!
//! A block holds commands (`$ kprod …`) and what they print, stdout and stderr together. A line
//! `...` stands for any number of lines. `? 2` after the output says the exit code, if it is not 0.
//! Times, durations and ids differ from run to run: any one does. To write the outputs anew, run
//! with `KPROD_BLESS=1`; what is right stays as it is, and so does what has a `...`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::env;

#[test]
fn stories_tell_what_the_program_does() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut stories: Vec<PathBuf> =
        fs::read_dir(root.join("tests/stories")).unwrap().map(|e| e.unwrap().path()).collect();
    stories.sort();
    stories.push(root.join("README.md"));
    let wrong: Vec<String> = stories.iter().filter_map(|story| tell(story).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// One command of a block with what the story says it prints.
struct Step {
    command: String,
    expected: String,
}

fn tell(story: &Path) -> Result<(), String> {
    let text = fs::read_to_string(story).unwrap();
    let fleet = env::fleet();
    let bless = std::env::var_os("KPROD_BLESS").is_some();
    let mut told = String::new();
    let mut wrong = String::new();
    for (is_block, part) in parts(&text) {
        if !is_block {
            told.push_str(&part);
            continue;
        }
        for step in steps(&part) {
            let actual = run(&step.command, fleet.path());
            let is_right = matches(
                &env::redact(&step.expected, fleet.path()),
                &env::redact(&actual, fleet.path()),
            );
            // What has a `...` is for a human to mend.
            if !is_right && (!bless || is_elided(&step.expected)) {
                let name = story.file_name().unwrap().to_string_lossy();
                let _ = writeln!(
                    wrong,
                    "{name}: $ {}\n--- story\n{}--- program\n{actual}",
                    step.command, step.expected
                );
            }
            let keeps = is_right || is_elided(&step.expected);
            let kept = match keeps {
                true => step.expected.clone(),
                false => with_old_lines(&step.expected, &actual, fleet.path()),
            };
            let _ = write!(told, "$ {}\n{kept}", step.command);
        }
    }
    if bless {
        fs::write(story, told).unwrap();
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The text in turns: prose with the opening fence, then the inside of a console block.
fn parts(text: &str) -> Vec<(bool, String)> {
    let mut parts = vec![(false, String::new())];
    for line in text.split_inclusive('\n') {
        let inside = parts.last().is_some_and(|(is_block, _)| *is_block);
        if inside && line.starts_with("```") {
            parts.push((false, line.to_owned()));
            continue;
        }
        parts.last_mut().unwrap().1.push_str(line);
        if !inside && line.trim_end() == "```console" {
            parts.push((true, String::new()));
        }
    }
    parts
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.split_inclusive('\n') {
        match line.strip_prefix("$ ") {
            Some(command) => {
                steps.push(Step { command: command.trim_end().to_owned(), expected: String::new() })
            }
            None => steps.last_mut().unwrap().expected.push_str(line),
        }
    }
    steps
}

/// Runs a command line with `sh` and gives both outputs, exit code last if it is not 0.
fn run(command: &str, folder: &Path) -> String {
    let mut shell = Command::new("sh");
    env::harden(&mut shell);
    let output = shell
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut text = text.replace(&*folder.to_string_lossy(), "FLEET");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "? {code}").unwrap(),
        None => text.push_str("? killed\n"),
    }
    text
}

/// The output with the lines of the old one that tell the same: a new time is no news.
fn with_old_lines(old: &str, new: &str, folder: &Path) -> String {
    let old: BTreeMap<String, &str> =
        old.split_inclusive('\n').map(|line| (env::redact(line, folder), line)).collect();
    let kept = |line| old.get(&env::redact(line, folder)).copied().unwrap_or(line);
    new.split_inclusive('\n').map(kept).collect()
}

fn is_elided(expected: &str) -> bool {
    expected.lines().any(|line| line == "...")
}

/// Whether the output is as told; `...` stands for any lines.
fn matches(expected: &str, actual: &str) -> bool {
    let expected: Vec<&str> = expected.lines().map(str::trim_end).collect();
    let actual: Vec<&str> = actual.lines().map(str::trim_end).collect();
    matches_lines(&expected, &actual)
}

fn matches_lines(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"...", rest)) => (0..=actual.len()).any(|skip| matches_lines(rest, &actual[skip..])),
        Some((first, rest)) => actual.first() == Some(first) && matches_lines(rest, &actual[1..]),
    }
}

#[test]
fn three_dots_stand_for_any_lines_and_nothing_else() {
    assert!(matches("a\n...\nd\n", "a\nb\nc\nd\n"));
    assert!(matches("a\n...\nd\n", "a\nd\n"));
    assert!(!matches("a\n...\nd\n", "a\nb\n"));
    assert!(!matches("a\n", "a\nb\n"));
    assert!(!matches("a\nb\n", "a\n"));
}
