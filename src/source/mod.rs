//! From templates, snippets and vars to documents that know their lines.
//!
//! A fleet is a folder with three parts:
//! - `vars/<cluster>.yaml` makes a cluster. `vars/_*.yaml` are layers, named in `extends:` (one name
//!   or a list). Maps merge deeply and later wins; lists and scalars are replaced whole; null
//!   deletes. `--set a.b=c` comes last.
//! - `templates/*.yaml.j2` are rendered for every cluster; a file of the same name in
//!   `templates/<cluster>/` takes its place.
//! - `snippets/` holds fragments, named by their path in it. `{% include "a.yaml" %}` pastes one as
//!   it is, with the variables of the line that includes it. `{{ snippet("a.yaml", az=zones)|indent(4) }}`
//!   renders one with parameters, which it sees beside the vars and nothing else; the newline at
//!   its end is dropped.
//!
//! Rendering reads nothing but these files: no network, no clock, no environment. The same files
//! and flags give the same bytes.
//!
//! # Templates
//!
//! The language is Jinja as [minijinja](https://docs.rs/minijinja) has it. Lines that hold only a
//! block tag or a comment leave no trace (`trim_blocks`, `lstrip_blocks`). A variable that is not
//! set is an error; `x is defined` and `x|default(…)` ask first. Printed values are YAML: null is
//! `null`, lists and maps are written in flow style. `cluster` is the cluster's name.
//!
//! Besides the functions, filters and tests of minijinja (`join`, `map`, `select`, `items`,
//! `dictsort`, `upper`, `replace`, `range`, `namespace`, …) there are:
//!
//! | name | example | gives |
//! |---|---|---|
//! | `snippet` | `snippet("spot.yaml", az=zones)` | the snippet, rendered |
//! | `fail` | `fail("no zones")` | an error at this line |
//! | `default` | `x\|default(3)` | `x`, or 3 when it is not set |
//! | `required` | `x\|required("set x")` | `x`, or an error when it is not set or empty |
//! | `indent` | `text\|indent(4)` | the text, each line but the first indented |
//! | `tojson` | `labels\|tojson` | JSON, which is YAML, on one line |
//! | `toyaml` | `labels\|toyaml\|indent(2)` | block YAML without a newline at its end |
//! | `b64encode`, `b64decode` | `text\|b64encode` | base64 and back |
//! | `sha256` | `text\|sha256` | the digest in hexadecimal |
//! | `cidrsubnet` | `cidrsubnet("10.0.0.0/16", 8, 2)` | `10.0.2.0/24` |
//! | `cidrhost` | `cidrhost("10.0.0.0/16", 5)` | `10.0.0.5`; negative counts from the end |
//! | `cidrnetmask` | `cidrnetmask("10.0.0.0/16")` | `255.255.0.0` |
//! | `cidr_prefix_len` | `cidr_prefix_len("10.0.0.0/16")` | 16 |
//! | `cidr_contains` | `cidr_contains("10.0.0.0/8", "10.1.0.0/16")` | whether one holds the other |
//! | `cidr_overlaps` | `cidr_overlaps("10.0.0.0/8", "10.1.0.0/16")` | whether they share addresses |
//!
//! The `cidr` helpers work as functions and as filters.
//!
//! # Problems
//!
//! All of them are reported at once. A template that cannot be rendered is run again with
//! placeholders for what is missing, so that its second mistake shows up with its first. Every
//! finding names the source line, the lines that included it, and the vars lines of its values.

mod cidr;
mod engine;
mod explain;
mod functions;
mod load;
mod mark;
mod merge;
mod record;
mod render;
mod scope;
mod set;
mod sources;
mod tree;
mod usage;
mod vars;
mod weight;

pub use explain::{Explanation, Trace, explain_document};
pub use load::{LoadLimits, load, load_documents, parse_documents};
pub use render::{Engine, Limits, Rendered, clusters, render};
pub use set::Set;
pub use tree::{ClusterEntry, Tree, VarsFile};
pub use vars::{Origin, Overridden};

#[cfg(test)]
mod tests;
