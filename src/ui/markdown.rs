//! A plan as a comment on a pull request: the summary in sight, the rest folded away.

use super::Style;
use super::human::{self, PlanView};
use crate::plan::Plan;
use crate::roll::Preview;

/// Longest comment that GitHub takes, in characters.
pub const COMMENT_CHARS_MAX: usize = 65_536;

/// The text inside is wider than a terminal's, as a browser scrolls.
const VIEW: PlanView = PlanView { width: 100, style: Style::plain(), verbose: false };

/// Said where the text was cut.
const CUT: &str = "... (cut; see the plan's own output for the rest)";

/// Renders a plan in at most `chars_max` characters, cutting whole lines from its end.
pub fn plan(plan: &Plan, chars_max: usize) -> String {
    let refused = match plan.refusals.len() {
        0 => String::new(),
        count => format!("\n**Refused**: {}.\n", super::finding::plural(count, "reason")),
    };
    let simulated = if plan.cloud == "sim" { " (SIMULATED)" } else { "" };
    let head = format!(
        "### kprod plan: `{}`{simulated}\n\n{}\n{refused}\n<details><summary>Changes</summary>\n\n",
        plan.cluster,
        human::summary(plan)
    );
    folded(&head, &human::plan(plan, VIEW), chars_max)
}

/// Renders a roll's plan in at most `chars_max` characters, cutting whole lines from its end.
pub fn roll(preview: &Preview, chars_max: usize) -> String {
    let simulated = if preview.cloud == "sim" { " (SIMULATED)" } else { "" };
    let head = format!(
        "### kprod rolling update: `{}`{simulated}\n\n{}\n\n<details><summary>Machines</summary>\n\n",
        preview.cluster,
        human::roll_summary(preview)
    );
    folded(&head, &human::roll(preview, VIEW), chars_max)
}

/// A head in sight and a body folded away.
fn folded(head: &str, body: &str, chars_max: usize) -> String {
    let fence = fence(body);
    let tail = format!("{fence}\n\n</details>\n");
    let around = head.chars().count() + fence.len() + 1 + tail.chars().count();
    let body = cut(body, chars_max.saturating_sub(around));
    format!("{head}{fence}\n{body}{tail}")
}

/// A fence longer than any run of backticks inside: user data may hold one.
fn fence(body: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for character in body.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat((longest + 1).max(3))
}

/// Whole lines from the start that fit.
fn cut(body: &str, chars_max: usize) -> String {
    if body.chars().count() <= chars_max {
        return body.to_owned();
    }
    let room = chars_max.saturating_sub(CUT.len() + 1);
    let mut kept = String::new();
    let mut used = 0;
    for line in body.lines() {
        used += line.chars().count() + 1;
        if used > room {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    format!("{kept}{CUT}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::plan::sample::{edit, empty_world, full_cluster};
    use crate::plan::{PlanOptions, make};

    #[test]
    fn a_comment_keeps_its_size_and_its_form() {
        let made = make(&full_cluster(), &empty_world(), &PlanOptions::default());
        let whole = plan(&made, COMMENT_CHARS_MAX);
        assert!(whole.contains(&human::summary(&made)));
        assert!(!whole.contains(CUT));
        for limit in [600, 900, whole.chars().count() - 1] {
            let comment = plan(&made, limit);
            assert!(comment.chars().count() <= limit, "{limit}");
            assert!(comment.contains(CUT) && comment.ends_with("```\n\n</details>\n"), "{comment}");
        }
    }

    #[test]
    fn a_fence_in_user_data_does_not_end_the_block() {
        let before = full_cluster();
        let template = "launch_template/nodes.test.example.com".parse().unwrap();
        let desired = edit(&before, &template, |value| {
            value["launch_template_data"]["user_data"] = "````\n".into();
        });
        let mut world = crate::plan::sample::applied(&before);
        crate::plan::sample::second_look(&desired, &before, &mut world);
        let comment = plan(&make(&desired, &world, &PlanOptions::default()), COMMENT_CHARS_MAX);
        assert!(comment.contains("\n`````\n"), "{comment}");
    }
}
