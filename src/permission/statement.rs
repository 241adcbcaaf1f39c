//! Statements of a policy, and which call each one is for.

use serde_json::{Map, Value, json};

use super::need::Need;

/// One statement: it allows actions on resources, under a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its id, which says what it is for. IAM takes letters and digits.
    pub sid: &'static str,
    /// Actions, each in full.
    pub actions: Vec<&'static str>,
    /// ARNs with wildcards; `*` alone for actions that take no resource.
    pub resources: Vec<String>,
    /// Operators with keys and values; null for none.
    pub condition: Value,
}

impl Statement {
    pub(super) fn new(
        sid: &'static str,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = impl Into<String>>,
        condition: Value,
    ) -> Self {
        let mut actions = actions.to_vec();
        actions.sort_unstable();
        let resources = resources.into_iter().map(Into::into).collect();
        Self { sid, actions, resources, condition }
    }

    /// The statement as it stands in a policy.
    pub fn to_json(&self) -> Value {
        let mut statement = Map::new();
        statement.insert("Sid".to_owned(), self.sid.into());
        statement.insert("Effect".to_owned(), "Allow".into());
        statement.insert("Action".to_owned(), self.actions.iter().copied().collect());
        statement.insert("Resource".to_owned(), one_or_many(&self.resources));
        if !self.condition.is_null() {
            statement.insert("Condition".to_owned(), self.condition.clone());
        }
        Value::Object(statement)
    }

    /// Whether it allows an action on some resource of a type.
    pub fn serves(&self, action: &str, resource_type: &str) -> bool {
        self.actions.contains(&action)
            && self.resources.iter().any(|arn| type_of(arn) == resource_type)
    }

    /// Whether it has a part in what a call needs.
    pub fn is_part_of(&self, needs: &[Need]) -> bool {
        needs.iter().any(|need| need.on.iter().any(|on| self.serves(need.action, on)))
    }

    /// Whether it is about an action on a resource with this ARN; its condition is not looked at.
    pub fn is_about(&self, action: &str, arn: &str) -> bool {
        self.actions.contains(&action) && self.resources.iter().any(|own| overlaps(own, arn))
    }
}

fn one_or_many(values: &[String]) -> Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}

/// The type of an ARN's resource, as the Service Authorization Reference calls it; `*` of `*`.
pub fn type_of(arn: &str) -> &str {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2).unwrap_or_default();
    let resource = parts.nth(2).unwrap_or(arn);
    match service {
        "s3" if resource.contains('/') => "object",
        "s3" => "bucket",
        _ => resource.split(['/', ':']).next().unwrap_or(resource),
    }
}

/// Whether two ARNs with wildcards may mean the same resource. AWS names in a denial what it asked
/// for: a resource, or `volume/*` for one that is not there yet.
fn overlaps(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // `reach[j]`: the pattern read so far may stand for the first `j` characters of the other.
    let mut reach = vec![false; other.len() + 1];
    reach[0] = true;
    spread(&mut reach, &other);
    for &c in &one {
        let mut next = vec![false; other.len() + 1];
        for at in 0..=other.len() {
            let before = at > 0 && reach[at - 1] && (other[at - 1] == c || c == '?');
            // A star of the other takes any character of ours and stays.
            let inside = at > 0 && other[at - 1] == '*' && reach[at];
            next[at] = match c {
                '*' => reach[..=at].contains(&true),
                _ => before || inside,
            };
        }
        spread(&mut next, &other);
        reach = next;
    }
    reach[other.len()]
}

/// A star of the other text may also stand for nothing.
fn spread(reach: &mut [bool], other: &[char]) {
    for at in 0..other.len() {
        if other[at] == '*' && reach[at] {
            reach[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_its_type() {
        for (arn, expected) in [
            ("*", "*"),
            ("arn:aws:ec2:eu-west-3::image/*", "image"),
            ("arn:aws:iam::1:role/masters.c", "role"),
            ("arn:aws:s3:::bucket", "bucket"),
            ("arn:aws:s3:::bucket/lease/c", "object"),
            ("arn:aws:elasticloadbalancing:r:1:loadbalancer/net/a/*", "loadbalancer"),
            (
                "arn:aws:autoscaling:r:1:autoScalingGroup:*:autoScalingGroupName/*.c",
                "autoScalingGroup",
            ),
        ] {
            assert_eq!(type_of(arn), expected);
        }
    }

    #[test]
    fn patterns_overlap_where_some_name_fits_both() {
        for (one, other, expected) in [
            ("volume/*", "volume/vol-1", true),
            ("volume/*", "volume/*", true),
            ("role/masters.c", "role/*", true),
            ("role/masters.c", "role/nodes.c", false),
            ("group/*.c", "group/nodes.c", true),
            ("group/*.c", "group/nodes.d", false),
            ("a*c", "*b*", true),
            ("a*c", "b*", false),
            ("*", "anything", true),
            ("", "x", false),
        ] {
            assert_eq!(overlaps(one, other), expected, "{one} and {other}");
            assert_eq!(overlaps(other, one), expected, "{other} and {one}");
        }
    }
}
