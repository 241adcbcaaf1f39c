//! Reads a fleet, or ready documents, from the disk: the only reader of input files.

#![expect(clippy::disallowed_methods, reason = "the only reader of input files")]

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::tree::{Tree, yaml_finding};
use crate::document::{Document, LineMap};
use crate::finding::{Finding, Place};
use crate::yaml;

/// What input files may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Size of one file of a fleet in bytes.
    pub file_bytes_max: u64,
    /// Size of one file of ready documents in bytes.
    pub document_bytes_max: u64,
    /// Files of a fleet.
    pub files_max: usize,
    /// Bytes of all files of a fleet together.
    pub total_bytes_max: u64,
    /// Folders inside each other.
    pub depth_max: usize,
    /// Limits on each YAML text.
    pub yaml: yaml::Limits,
}

impl Default for LoadLimits {
    /// Some hundred times what a large fleet has.
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 20,
            document_bytes_max: 8 << 20,
            files_max: 20_000,
            total_bytes_max: 256 << 20,
            depth_max: 16,
            yaml: yaml::Limits::default(),
        }
    }
}

/// Reads a fleet's root. What cannot be read is a finding of the tree; the rest is there.
pub fn load(root: &Path, limits: &LoadLimits) -> Tree {
    let mut loader = Loader {
        root,
        limits,
        tree: Tree::default(),
        files: 0,
        bytes: 0,
        folders: BTreeSet::new(),
    };
    for part in ["snippets", "templates", "vars"] {
        loader.folder(part, 0);
    }
    if loader.tree.vars.is_empty() && loader.tree.findings.is_empty() {
        let finding = Finding::error("this folder is not a fleet: it has no vars")
            .at(Place::file(root.display().to_string()))
            .hint("a fleet is a folder with templates/, snippets/ and vars/");
        loader.tree.findings.push(finding);
    }
    loader.tree
}

/// Reads ready documents: files, or `-` for the standard input. Lines are those of the files.
pub fn load_documents(files: &[String], limits: &LoadLimits) -> (Vec<Document>, Vec<Finding>) {
    let mut documents = Vec::new();
    let mut findings = Vec::new();
    for file in files {
        let shown = if file == "-" { "<stdin>" } else { file };
        let bytes = if file == "-" {
            read_limited(std::io::stdin().lock(), limits.document_bytes_max)
        } else {
            open(Path::new(file)).and_then(|input| read_limited(input, limits.document_bytes_max))
        };
        let parsed = bytes
            .and_then(utf8)
            .map_err(|problem| {
                let finding = problem.finding(shown);
                match files.len() > 1 && !Path::new(file).exists() && file != "-" {
                    true => vec![finding.hint("if it names the cluster, it goes before -f")],
                    false => vec![finding],
                }
            })
            .and_then(|text| parse_documents(shown, &text, limits));
        match parsed {
            Ok(more) => {
                if more.is_empty() {
                    let finding = Finding::warning("there is no document in it");
                    findings.push(finding.at(Place::file(shown)));
                }
                documents.extend(more);
            }
            Err(more) => findings.extend(more),
        }
    }
    (documents, findings)
}

/// The documents of a text that is a file itself; empty ones are left out.
///
/// # Errors
/// Everything that keeps the text from being YAML.
pub fn parse_documents(
    file: &str,
    text: &str,
    limits: &LoadLimits,
) -> Result<Vec<Document>, Vec<Finding>> {
    let roots = yaml::parse(text, &limits.yaml).map_err(|errors| {
        errors.iter().map(|error| yaml_finding(file, error)).collect::<Vec<_>>()
    })?;
    Ok(roots
        .into_iter()
        .filter(|root| root.value != yaml::Value::Null)
        .map(|root| Document { file: file.to_owned(), root, lines: LineMap::Identity })
        .collect())
}

/// What keeps a file from being read.
struct Problem {
    line: Option<u32>,
    message: String,
    hint: Option<&'static str>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into(), hint: None }
    }

    fn finding(self, file: &str) -> Finding {
        let place = match self.line {
            Some(line) => Place::at(file, line),
            None => Place::file(file),
        };
        let finding = Finding::error(self.message).at(place);
        match self.hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        }
    }
}

struct Loader<'a> {
    root: &'a Path,
    limits: &'a LoadLimits,
    tree: Tree,
    files: usize,
    bytes: u64,
    /// Folders being read or read already, by their true path, so that links cannot lead in circles.
    folders: BTreeSet<PathBuf>,
}

impl Loader<'_> {
    /// Reads a folder in name order; `relative` is its path from the root, with `/`.
    fn folder(&mut self, relative: &str, depth: usize) {
        let path = self.root.join(relative);
        let Ok(true_path) = path.canonicalize() else { return };
        if !self.folders.insert(true_path) {
            let finding = Finding::warning("this folder was read already: links lead in a circle")
                .at(Place::file(relative));
            self.tree.findings.push(finding);
            return;
        }
        if depth > self.limits.depth_max {
            self.problem(relative, Problem::new("folders are nested too deeply"));
            return;
        }
        let mut names = match entries(&path) {
            Ok(names) => names,
            Err(error) => return self.problem(relative, Problem::new(error.to_string())),
        };
        names.sort();
        for name in names {
            self.entry(relative, &name, depth);
        }
    }

    fn entry(&mut self, folder: &str, name: &std::ffi::OsStr, depth: usize) {
        let Some(name) = name.to_str() else {
            let shown = format!("{folder}/{}", name.to_string_lossy());
            return self.problem(&shown, Problem::new("the file's name is not UTF-8"));
        };
        // What editors and systems leave behind.
        if name.starts_with('.') || name.ends_with('~') {
            return;
        }
        let relative = format!("{folder}/{name}");
        let path = self.root.join(&relative);
        if path.is_dir() {
            self.folder(&relative, depth + 1);
        } else if let Err(problem) = self.file(&relative, &path) {
            self.problem(&relative, problem);
        }
    }

    fn file(&mut self, relative: &str, path: &Path) -> Result<(), Problem> {
        self.files += 1;
        if self.files > self.limits.files_max {
            if self.files == self.limits.files_max + 1 {
                let message = format!("more than {} files", self.limits.files_max);
                return Err(Problem::new(message));
            }
            return Ok(());
        }
        let left = self.limits.total_bytes_max.saturating_sub(self.bytes);
        if left == 0 {
            return Ok(());
        }
        let bytes = read_limited(open(path)?, self.limits.file_bytes_max)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > left {
            self.bytes = self.limits.total_bytes_max;
            let message =
                format!("all files together are over {} bytes", self.limits.total_bytes_max);
            return Err(Problem::new(message));
        }
        self.bytes += size;
        let text = utf8(bytes)?;
        self.tree.add(relative, text, &self.limits.yaml);
        Ok(())
    }

    fn problem(&mut self, file: &str, problem: Problem) {
        self.tree.add_unread(file, problem.finding(file));
    }
}

fn entries(path: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Opens a plain file. A pipe or a device could block for ever, so it is refused unless the shell
/// made it (`-f <(…)`), which shows as a path under /dev/fd or /proc.
fn open(path: &Path) -> Result<std::fs::File, Problem> {
    let meta = std::fs::metadata(path).map_err(|error| read_problem(&error))?;
    let is_handed_over = path.starts_with("/dev/fd") || path.starts_with("/proc");
    if meta.is_dir() {
        return Err(Problem::new("this is a folder, not a file"));
    }
    if !meta.is_file() && !is_handed_over {
        return Err(Problem::new("this is not a plain file"));
    }
    std::fs::File::open(path).map_err(|error| read_problem(&error))
}

/// Reads at most so many bytes; more is a problem found without reading the rest.
fn read_limited(input: impl Read, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    input
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| read_problem(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(Problem::new(format!("the file is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn read_problem(error: &std::io::Error) -> Problem {
    let text = error.to_string().to_lowercase();
    let text = text.split(" (os error").next().unwrap_or_default();
    Problem::new(format!("cannot be read: {text}"))
}

/// Takes bytes as text; a byte order mark is dropped and lines end as they do on Unix.
fn utf8(bytes: Vec<u8>) -> Result<String, Problem> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = bytes.get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let byte = bytes.get(at).copied().unwrap_or_default();
        Problem {
            line: u32::try_from(line).ok(),
            message: format!("byte {at} ({byte:#04x}) is not UTF-8"),
            hint: Some("save the file as UTF-8"),
        }
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    // A checkout on Windows must not change what a machine is built from.
    Ok(if text.contains('\r') { text.replace("\r\n", "\n") } else { text })
}
