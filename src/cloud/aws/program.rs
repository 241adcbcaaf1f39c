//! The program that machines fetch, as a file of whoever applies.

use std::path::{Path, PathBuf};

use super::AwsCloud;
use crate::boot::Program;

impl AwsCloud {
    /// Names files one of which may be the program that machines are to fetch. They are read when it is to
    /// be written to the state bucket.
    pub fn offer_programs(&mut self, files: Vec<PathBuf>) {
        self.programs = files;
    }

    /// The content of a program, if one of the files that were named has it.
    pub(crate) async fn program(&self, program: &Program) -> Option<Vec<u8>> {
        let (files, program) = (self.programs.clone(), program.clone());
        let find = move || files.iter().find_map(|file| content(file, &program));
        tokio::task::spawn_blocking(find).await.ok().flatten()
    }
}

/// A file's content, if it is the program's. One of another length is not read.
fn content(file: &Path, program: &Program) -> Option<Vec<u8>> {
    if std::fs::metadata(file).ok()?.len() != program.size || program.size > Program::BYTES_MAX {
        return None;
    }
    std::fs::read(file).ok().filter(|bytes| program.is(bytes))
}
