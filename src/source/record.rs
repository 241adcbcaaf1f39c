//! What a rendering leaves behind besides text: which source line ran, which values it read, which
//! values were missing.
//!
//! The text engine calls back into functions and objects that have no other way to meet, so they
//! share this record. Everything in it counts or appends; nothing here decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

use super::mark::split_code;
use super::vars::Vars;
use crate::document::{LineSpots, RenderedLines, Spot, chain};
use crate::finding::{Finding, Place, PlaceRole, did_you_mean};

/// What is known of a template or snippet before it runs.
#[derive(Debug)]
pub(super) struct FileInfo {
    pub(super) name: Arc<str>,
    pub(super) captures: bool,
    /// Names that get values elsewhere than on the line that runs before: parameters of macros, and
    /// what blocks capture.
    pub(super) params: Vec<Arc<str>>,
    /// Per line, the numbers of the variables used and bound there, of those bound anywhere.
    pub(super) lines: Vec<LineInfo>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LineInfo {
    pub(super) uses: Vec<u32>,
    pub(super) binds: Vec<u32>,
    /// Every name on the line.
    pub(super) names: Vec<String>,
    /// Names, of those that grow, that the line gives a value to.
    pub(super) sets: Vec<Arc<str>>,
    pub(super) may_include_nothing: bool,
}

/// After this many problems of one template the rest is not worth showing.
const FINDINGS_MAX: usize = 200;

/// Source lines that one template may run; far above what fits the output limit.
const SPOTS_MAX: usize = 300_000;

/// How many times the largest value may be weighed in one template; that takes about a second.
const WEIGHED_TIMES_MAX: usize = 100;

/// Shared by everything that takes part in a rendering.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Record>);

impl Recorder {
    pub(super) fn lock(&self) -> MutexGuard<'_, Record> {
        // A panic elsewhere cannot leave counters and lists in a state worse than incomplete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) files: Arc<Vec<FileInfo>>,
    pub(super) vars: Arc<Vars>,
    /// Names that the engine itself knows: no values, hence never missing.
    pub(super) globals: Arc<BTreeSet<String>>,
    /// Files that cannot run, which is reported already.
    pub(super) broken: Arc<BTreeSet<String>>,
    /// Whether one of them was wanted.
    pub(super) has_missed_broken: bool,
    /// Whether problems are gathered instead of ending the rendering.
    pub(super) is_collecting: bool,
    /// Per value of the vars, whether a template read it; kept over all templates.
    pub(super) read: Vec<bool>,
    spots: Vec<Spot>,
    /// Per spot, its file and line as the mark said them.
    codes: Vec<u32>,
    /// Per spot, the values read for it.
    reads: Vec<Vec<u32>>,
    /// The files being rendered, each included by the one before, with the spot it is at.
    stack: Vec<(u32, u32)>,
    /// Per bound variable, the values that it came from.
    locals: BTreeMap<u32, Vec<u32>>,
    /// Whether a file ran that captures output as a value.
    pub(super) has_captures: bool,
    holes: Vec<HoleRecord>,
    pub(super) findings: BTreeSet<Finding>,
    /// Steps of the engine taken in snippets.
    pub(super) fuel_used: u64,
    pub(super) snippet_depth: usize,
    /// Set when the output limit ended the rendering.
    pub(super) is_over_size: bool,
    /// Bytes that were printed, captured ones included.
    printed_bytes: usize,
    pub(super) printed_bytes_max: usize,
    /// Bytes that were weighed.
    weighed_bytes: usize,
    pub(super) value_bytes_max: usize,
    /// Whether a problem that is reported already ended the rendering.
    pub(super) is_halted: bool,
    /// Whether names are looked up to weigh them, which is no use of them.
    pub(super) is_probing: bool,
}

/// A value that was looked up and is not there.
#[derive(Debug)]
struct HoleRecord {
    finding: Finding,
    spot: Option<u32>,
    /// Whether the line says its name. The engine looks up names of other lines, too, to describe an
    /// error; those are nobody's mistake. A key inside of a value may be computed.
    is_named: bool,
    is_reported: bool,
}

impl Record {
    /// Forgets the template before, keeps what was read.
    pub(super) fn start_template(&mut self, is_collecting: bool) {
        self.is_collecting = is_collecting;
        self.spots.clear();
        self.codes.clear();
        self.reads.clear();
        self.stack.clear();
        self.locals.clear();
        self.holes.clear();
        self.findings.clear();
        self.has_captures = false;
        self.has_missed_broken = false;
        self.fuel_used = 0;
        self.snippet_depth = 0;
        self.is_over_size = false;
        self.printed_bytes = 0;
        self.weighed_bytes = 0;
        self.is_halted = false;
    }

    /// Notes that a source line runs; gives the number of the new spot.
    pub(super) fn at(&mut self, code: u32) -> u32 {
        self.bind();
        if self.spots.len() >= SPOTS_MAX {
            return self.current().unwrap_or(0);
        }
        let (file, line) = split_code(code);
        let id = u32::try_from(self.spots.len()).unwrap_or(u32::MAX);
        match self.stack.iter().rposition(|(open, _)| *open == file) {
            Some(depth) => {
                self.stack.truncate(depth + 1);
                if let Some(top) = self.stack.last_mut() {
                    top.1 = id;
                }
            }
            None => self.stack.push((file, id)),
        }
        let parent = self.stack.len().checked_sub(2).and_then(|at| self.stack.get(at));
        let parent = parent.map(|(_, spot)| *spot);
        let files = self.files.clone();
        let info = usize::try_from(file).ok().and_then(|file| files.get(file));
        self.has_captures |= info.is_some_and(|info| info.captures);
        let name = info.map_or_else(|| Arc::from(""), |info| info.name.clone());
        let uses = info.and_then(|info| line_info(info, line)).map(|line| line.uses.as_slice());
        let mut reads = Vec::new();
        for id in uses.unwrap_or_default().iter().filter_map(|name| self.locals.get(name)).flatten()
        {
            if !reads.contains(id) {
                reads.push(*id);
            }
        }
        self.spots.push(Spot { file: name, line, parent, values: Vec::new() });
        self.codes.push(code);
        self.reads.push(reads);
        id
    }

    /// Ties what a `for` or `set` read to the variables that it bound.
    fn bind(&mut self) {
        let Some(current) = self.current() else { return };
        let reads = usize::try_from(current).ok().and_then(|at| self.reads.get(at)).cloned();
        let reads = reads.unwrap_or_default();
        if reads.is_empty() {
            return;
        }
        for name in self.binds_of(current) {
            self.locals.insert(name, reads.clone());
        }
    }

    fn binds_of(&self, spot: u32) -> Vec<u32> {
        self.line_info(spot).map(|line| line.binds.clone()).unwrap_or_default()
    }

    /// The names that may have got a value since the last mark, in a file that is there now.
    pub(super) fn names_to_weigh(&self, code: u32) -> Vec<Arc<str>> {
        let (file, _) = split_code(code);
        let file = usize::try_from(file).ok().and_then(|file| self.files.get(file));
        let params = file.map(|file| file.params.as_slice()).unwrap_or_default();
        let line = self.current().and_then(|spot| self.line_info(spot));
        let sets = line.map(|line| line.sets.as_slice()).unwrap_or_default();
        params.iter().chain(sets).cloned().collect()
    }

    /// Counts what is printed.
    ///
    /// # Errors
    /// When it is too much.
    pub(super) fn printed(&mut self, bytes: usize) -> Result<(), Error> {
        self.printed_bytes = self.printed_bytes.saturating_add(bytes);
        self.is_over_size |= self.printed_bytes > self.printed_bytes_max;
        match self.is_over_size {
            true => Err(Error::new(ErrorKind::WriteFailure, "the output limit is reached")),
            false => Ok(()),
        }
    }

    /// Counts what was weighed, which takes time.
    ///
    /// # Errors
    /// When it is too much.
    pub(super) fn weighed(&mut self, bytes: usize) -> Result<(), Error> {
        self.weighed_bytes = self.weighed_bytes.saturating_add(bytes);
        match self.weighed_bytes > self.value_bytes_max.saturating_mul(WEIGHED_TIMES_MAX) {
            true => Err(Error::from(ErrorKind::OutOfFuel)),
            false => Ok(()),
        }
    }

    /// Reports what ends the rendering.
    pub(super) fn halt(&mut self, message: &str) {
        self.is_halted = true;
        self.problem(
            Finding::error(message).hint("build less in one value, or print it in parts"),
            None,
        );
    }

    fn line_info(&self, spot: u32) -> Option<&LineInfo> {
        let code = self.codes.get(usize::try_from(spot).ok()?)?;
        let (file, line) = split_code(*code);
        line_info(self.files.get(usize::try_from(file).ok()?)?, line)
    }

    /// Whether the line that runs may include a file that is not there.
    pub(super) fn may_include_nothing(&self) -> bool {
        self.current()
            .and_then(|spot| self.line_info(spot))
            .is_some_and(|line| line.may_include_nothing)
    }

    /// The spot that runs.
    pub(super) fn current(&self) -> Option<u32> {
        self.stack.last().map(|(_, spot)| *spot)
    }

    /// The files being rendered, to come back to after a snippet.
    pub(super) fn stack(&self) -> Vec<(u32, u32)> {
        self.stack.clone()
    }

    pub(super) fn restore_stack(&mut self, stack: Vec<(u32, u32)>) {
        self.stack = stack;
    }

    /// Notes that a value is used where the rendering is.
    pub(super) fn read(&mut self, id: u32) {
        self.mark_read(id);
        let current = self.current().and_then(|at| usize::try_from(at).ok());
        if let Some(reads) = current.and_then(|at| self.reads.get_mut(at))
            && !reads.contains(&id)
        {
            reads.push(id);
        }
    }

    /// Notes that a value is not superfluous, wherever it ends up.
    pub(super) fn mark_read(&mut self, id: u32) {
        if let Some(read) = usize::try_from(id).ok().and_then(|at| self.read.get_mut(at)) {
            *read = true;
        }
    }

    /// Notes that a loop that began at a spot goes on with a value.
    pub(super) fn iterated(&mut self, owner: Option<u32>, id: u32) {
        self.mark_read(id);
        let Some(owner) = owner else { return };
        for name in self.binds_of(owner) {
            self.locals.insert(name, vec![id]);
        }
    }

    /// Notes a missing value; gives its number, to be used when it matters.
    pub(super) fn missing(
        &mut self,
        parent: u32,
        key: &str,
        known: &BTreeMap<String, Value>,
    ) -> usize {
        let path = self.vars.path_of_missing(parent, key);
        let mut finding = Finding::error(format!("`{path}` is not set"));
        let spot = self.current();
        finding.places = spot.map(|spot| chain(&self.spots, spot)).unwrap_or_default();
        let names = self.vars.keys(parent).chain(known.keys().map(String::as_str));
        if let Some(origin) = self.vars.deleted(&path) {
            let place = Place { role: PlaceRole::SeeAlso, ..origin.place() };
            finding = finding.hint(format!("{place} deletes it by a null")).at(place);
        } else if let Some(name) = did_you_mean(key, names) {
            let similar = self.vars.key(parent, name).and_then(|id| self.vars.node(id));
            let place = similar.map(|node| node.origin.place().with_role(PlaceRole::SeeAlso));
            finding = finding.places(place).hint(format!("did you mean `{name}`?"));
        } else if parent > 0 {
            let map = self.vars.node(parent).map(|node| node.origin.place());
            let map = map.map(|place| place.with_role(PlaceRole::SeeAlso));
            finding = finding.places(map).hint(format!("set `{path}` in the vars"));
        } else {
            finding = finding.hint(format!("set `{path}` in the vars, or give it a default"));
        }
        let names = spot.and_then(|spot| self.line_info(spot)).map(|line| line.names.as_slice());
        let is_named = parent > 0 || names.is_none_or(|names| names.iter().any(|name| name == key));
        self.holes.push(HoleRecord { finding, spot, is_named, is_reported: false });
        self.holes.len() - 1
    }

    /// A missing value is used for something.
    pub(super) fn use_hole(&mut self, id: usize) {
        if let Some(hole) = self.holes.get_mut(id)
            && !hole.is_reported
        {
            hole.is_reported = true;
            if self.vars.is_incomplete {
                self.has_missed_broken = true;
                return;
            }
            let finding = hole.finding.clone();
            self.report(finding);
        }
    }

    /// Reports the missing values that nobody asked about, of a line or of all; gives how many.
    pub(super) fn use_holes(&mut self, line: Option<(&str, u32)>) -> usize {
        let is_there = |hole: &HoleRecord| {
            let spot = hole.spot.and_then(|at| usize::try_from(at).ok());
            let spot = spot.and_then(|at| self.spots.get(at));
            match (line, spot) {
                (None, _) => true,
                (Some((file, line)), Some(spot)) => &*spot.file == file && spot.line == line,
                _ => false,
            }
        };
        let ids: Vec<usize> = self
            .holes
            .iter()
            .enumerate()
            .filter(|(_, hole)| !hole.is_reported && hole.is_named && is_there(hole))
            .map(|(id, _)| id)
            .collect();
        for id in &ids {
            self.use_hole(*id);
        }
        ids.len()
    }

    /// Reports a problem where the rendering is. `value` is the text that is wrong: the values read
    /// here that say it are named, or all of them when none does.
    pub(super) fn problem(&mut self, finding: Finding, value: Option<&str>) {
        let finding = self.placed(finding, value);
        self.report(finding);
    }

    pub(super) fn placed(&self, mut finding: Finding, value: Option<&str>) -> Finding {
        let Some(current) = self.current() else { return finding };
        finding.places.splice(0..0, chain(&self.spots, current));
        let reads = usize::try_from(current).ok().and_then(|at| self.reads.get(at));
        let reads = reads.map(Vec::as_slice).unwrap_or_default();
        let says = |id: &&u32| value.is_some_and(|value| self.vars.text(**id) == value);
        let exact: Vec<&u32> = reads.iter().filter(says).collect();
        let chosen = if exact.is_empty() { reads.iter().collect() } else { exact };
        let nodes = chosen.into_iter().filter_map(|id| self.vars.node(*id));
        finding.places.extend(nodes.take(4).map(|node| node.origin.place()));
        finding
    }

    pub(super) fn report(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.insert(finding);
        }
    }

    /// Takes the spots of the finished template, with the places of the values they read.
    pub(super) fn take_lines(&mut self, lines: LineSpots) -> (RenderedLines, Vec<Vec<u32>>) {
        let mut spots = std::mem::take(&mut self.spots);
        let reads = std::mem::take(&mut self.reads);
        for (spot, reads) in spots.iter_mut().zip(&reads) {
            for node in reads.iter().filter_map(|id| self.vars.node(*id)) {
                spot.values.push((node.origin.file.clone(), node.origin.line));
            }
        }
        (RenderedLines { spots, lines }, reads)
    }
}

fn line_info(info: &FileInfo, line: u32) -> Option<&LineInfo> {
    info.lines.get(usize::try_from(line).ok()?.checked_sub(1)?)
}
