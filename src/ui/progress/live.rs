//! The live view: finished changes scroll by above one line that moves.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr.
pub(super) struct Live {
    bar: ProgressBar,
}

impl Live {
    pub(super) fn new(change_count: usize) -> Self {
        let bar = ProgressBar::new(change_count as u64);
        let template = "{spinner} {pos}/{len} changes, {elapsed}  {wide_msg}";
        // The template is a constant; were it wrong, the default style would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    pub(super) fn show(&self, line: Option<&str>, standing: &str, finished: usize) {
        if let Some(line) = line {
            self.bar.println(line);
        }
        self.bar.set_position(finished as u64);
        self.bar.set_message(standing.to_owned());
    }

    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}
