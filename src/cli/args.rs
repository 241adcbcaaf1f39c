//! Arguments that several verbs share.

#![expect(clippy::disallowed_methods, reason = "NO_COLOR is a matter of the terminal")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::access::AccessArgs;
use crate::ui::{ColorChoice, Ui};

/// Options of every verb.
#[derive(Debug, Args)]
pub(super) struct GlobalArgs {
    /// The fleet: the folder with templates/, snippets/ and vars/
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".",
        help_heading = "Global options"
    )]
    pub(super) root: PathBuf,

    /// When to colour the output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, help_heading = "Global options")]
    color: Color,

    /// Say nothing but data and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl GlobalArgs {
    /// Decides once how to talk.
    pub(super) fn ui(&self) -> Ui {
        let color = match self.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Ui::new(
            color,
            std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            self.quiet,
        )
    }
}

/// Which cluster, and from which input.
#[derive(Clone, Debug, Args)]
pub(super) struct SpecArgs {
    /// The cluster's name: vars/CLUSTER.yaml makes it one. Optional with -f
    #[arg(value_name = "CLUSTER", required_unless_present = "files")]
    pub(super) cluster: Option<String>,

    #[command(flatten)]
    pub(super) input: InputArgs,
}

/// What lies over the vars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct SetArgs {
    /// Set a value over all vars, such as spot_nodes.4x_32Gb.max=20 (repeatable)
    #[arg(long = "set", value_name = "PATH=VALUE", help_heading = "Input")]
    pub(super) set: Vec<String>,

    /// Like --set, but the value stays text (repeatable)
    #[arg(long = "set-string", value_name = "PATH=TEXT", help_heading = "Input")]
    pub(super) set_string: Vec<String>,
}

/// Where documents come from and how strictly they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct InputArgs {
    #[command(flatten)]
    pub(super) sets: SetArgs,

    /// Read ready documents in place of the fleet; `-` is standard input (repeatable)
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["set", "set_string"],
        help_heading = "Input"
    )]
    pub(super) files: Vec<PathBuf>,

    /// Take unknown fields, and fields of kops that kprod does not honour, as warnings
    #[arg(long, help_heading = "Input")]
    pub(super) lenient: bool,
}

/// Which cloud, and how much of it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct CloudArgs {
    /// The cloud; `cloud:` in the vars decides if this is not given, and else it is sim
    #[arg(long, value_enum, help_heading = "Cloud")]
    pub(super) cloud: Option<CloudName>,

    /// Read also what costs a call each: lifecycle hooks, load balancer attributes
    #[arg(long, help_heading = "Cloud")]
    pub(super) deep: bool,

    #[command(flatten)]
    pub(super) access: AccessArgs,
}

impl CloudArgs {
    /// Whether the cloud and how it is read are left open, as a saved plan asks: it says both.
    pub(super) fn is_open(&self) -> bool {
        self.cloud.is_none() && !self.deep
    }
}

/// Reads `90s`, `5m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |error| format!("`{text}` is no duration such as 90s, 5m or 1h: {error}");
    let span: jiff::SignedDuration = text.parse().map_err(|e: jiff::Error| wrong(e.to_string()))?;
    Duration::try_from(span).map_err(|e| wrong(e.to_string()))
}

/// The clouds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CloudName {
    /// The embedded simulator, its state in .kprod/
    Sim,
    /// AWS, by the SDK's usual chain of credentials, profile, region and AWS_ENDPOINT_URL
    Aws,
}

/// What a plan may contain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct PlanOptionArgs {
    /// Only this resource and what it needs, such as auto_scaling_group/nodes.example.com (repeatable)
    #[arg(long, value_name = "ADDRESS", help_heading = "Plan")]
    pub(super) only: Vec<String>,

    /// Allow resources that are no longer wanted to be deleted
    #[arg(long, help_heading = "Plan")]
    pub(super) allow_delete: bool,

    /// Allow this resource, data and all, to be deleted (repeatable)
    #[arg(long = "delete", value_name = "ADDRESS", help_heading = "Plan")]
    pub(super) delete: Vec<String>,

    /// Try a revision again that an automatic rollback left behind
    #[arg(long, help_heading = "Plan")]
    pub(super) retry: bool,
}

/// How a verb prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TextOrJson {
    /// For people
    Text,
    /// For machines; documented, with a format version
    Json,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For machines; documented, with a format version
    Json,
    /// For a comment on a pull request, never longer than GitHub takes
    Markdown,
}
