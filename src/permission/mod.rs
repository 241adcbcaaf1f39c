//! Permissions: which IAM actions each call needs, and the policies that give an operator just those.
//!
//! Pure: a [`Scope`] (a cluster's names, and its corner of AWS) and a [`Level`] give statements.
//! They name resources by ARN where names are known, and by kprod's tag where AWS makes up ids; `*`
//! stands only where AWS takes no resource. Two things AWS cannot hold back: who may write a role's
//! policies may give it anything, unless the spec sets a permissions boundary (then only within it);
//! and who may delete hosted zones may delete any empty one of the account.

mod access;
mod balancers;
mod groups;
mod machines;
mod need;
mod network;
mod read;
mod scope;
mod state;
mod statement;

use serde_json::{Value, json};

pub use need::{Need, Operation, all as operations, needs};
pub use scope::Scope;
pub use statement::{Statement, type_of};

use crate::cloud::Denial;

/// The most characters of a managed policy, white space not counted.
/// Source: IAM user guide, "IAM and AWS STS quotas".
pub const DOCUMENT_CHARS_MAX: usize = 6_144;

/// What an operator is to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plan: read.
    Plan,
    /// Apply and destroy, which plan first.
    Apply,
    /// Make the state bucket.
    State,
}

impl Level {
    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Plan => "plan",
            Level::Apply => "apply",
            Level::State => "state",
        }
    }
}

/// One policy document, small enough for a managed policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// A name for the policy.
    pub name: String,
    /// Its statements.
    pub statements: Vec<Statement>,
}

impl Document {
    /// The policy as IAM takes it.
    pub fn to_json(&self) -> Value {
        let statements: Vec<Value> = self.statements.iter().map(Statement::to_json).collect();
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    /// Its characters as IAM counts them.
    pub fn chars(&self) -> usize {
        self.to_json().to_string().chars().filter(|c| !c.is_whitespace()).count()
    }
}

/// The statements of a level.
pub fn statements(scope: &Scope, level: Level) -> Vec<Statement> {
    match level {
        Level::Plan => read::statements(scope),
        Level::State => state::prepare(scope),
        Level::Apply => [
            read::statements(scope),
            network::statements(scope),
            machines::statements(scope),
            groups::statements(scope),
            access::statements(scope),
            balancers::statements(scope),
            state::authorities(scope),
            state::keep(scope),
        ]
        .concat(),
    }
}

/// Statements in as few documents as hold them, in their order.
pub fn documents(scope: &Scope, level: Level) -> Vec<Document> {
    let mut parts: Vec<Vec<Statement>> = vec![Vec::new()];
    for statement in statements(scope, level) {
        let Some(last) = parts.last_mut() else { continue };
        let mut longer = last.clone();
        longer.push(statement.clone());
        let document = Document { name: String::new(), statements: longer };
        if document.chars() <= DOCUMENT_CHARS_MAX || last.is_empty() {
            *last = document.statements;
        } else {
            parts.push(vec![statement]);
        }
    }
    let count = parts.len();
    let name = |index: usize| match count {
        1 => format!("kprod-{}-{}", scope.cluster, level.as_str()),
        _ => format!("kprod-{}-{}-{}", scope.cluster, level.as_str(), index + 1),
    };
    parts
        .into_iter()
        .enumerate()
        .map(|(index, statements)| Document { name: name(index), statements })
        .collect()
}

/// The statements that would have allowed what was denied: those that AWS's own words point at, or
/// else all that the operation needs.
pub fn missing<'s>(denial: &Denial, statements: &'s [Statement]) -> Vec<&'s Statement> {
    let told: Vec<&Statement> = match (&denial.action, &denial.resource) {
        (Some(action), Some(resource)) => {
            statements.iter().filter(|own| own.is_about(action, resource)).collect()
        }
        (Some(action), None) => {
            statements.iter().filter(|own| own.actions.contains(&action.as_str())).collect()
        }
        (None, _) => Vec::new(),
    };
    if !told.is_empty() {
        return told;
    }
    let needs = needs(&denial.operation).unwrap_or_default();
    statements.iter().filter(|own| own.is_part_of(needs)).collect()
}
