//! The fleet as text: its clusters, and where a value came from.

use std::fmt::Write;

use serde::Serialize;

use crate::finding::PlaceRole;
use crate::source::{ClusterEntry, Explanation};

/// A table of clusters.
pub fn clusters(clusters: &[ClusterEntry]) -> String {
    let longest = |field: &dyn Fn(&ClusterEntry) -> usize, title: &str| {
        clusters.iter().map(field).chain([title.len()]).max().unwrap_or_default()
    };
    let name = longest(&|cluster| cluster.name.len(), "CLUSTER");
    let channel = longest(&|cluster| channel_of(cluster).len(), "CHANNEL");
    let cloud = longest(&|cluster| cloud_of(cluster).len(), "CLOUD");
    let mut text = String::new();
    let mut row = |a: &str, b: &str, c: &str, d: &str| {
        let _ = writeln!(text, "{a:name$}  {b:channel$}  {c:cloud$}  {d}");
    };
    row("CLUSTER", "CHANNEL", "CLOUD", "LAYERS");
    for cluster in clusters {
        let layers: Vec<&str> = cluster.layers.iter().map(|layer| short(layer)).collect();
        row(&cluster.name, channel_of(cluster), cloud_of(cluster), &layers.join(", "));
    }
    text
}

/// `vars/_defaults.yaml` as `extends:` names it.
fn short(layer: &str) -> &str {
    let name = layer.strip_prefix("vars/").unwrap_or(layer);
    name.strip_suffix(".yaml").unwrap_or(name)
}

fn channel_of(cluster: &ClusterEntry) -> &str {
    cluster.channel.as_deref().unwrap_or("-")
}

fn cloud_of(cluster: &ClusterEntry) -> &str {
    cluster.cloud.as_deref().unwrap_or("sim")
}

/// The same for machines.
///
/// Format version 1.0: `{"format_version", "clusters": [{"name", "file", "layers", "channel",
/// "cloud"}]}`.
pub fn clusters_json(clusters: &[ClusterEntry]) -> serde_json::Value {
    #[derive(Serialize)]
    struct Cluster<'a> {
        name: &'a str,
        file: &'a str,
        layers: &'a [String],
        channel: Option<&'a str>,
        cloud: Option<&'a str>,
    }
    let clusters: Vec<Cluster> = clusters
        .iter()
        .map(|entry| Cluster {
            name: &entry.name,
            file: &entry.file,
            layers: &entry.layers,
            channel: entry.channel.as_deref(),
            cloud: entry.cloud.as_deref(),
        })
        .collect();
    serde_json::json!({ "format_version": "1.0", "clusters": clusters })
}

/// The start of a value that is too long to be read; `kprod render` prints all of it.
fn shorten(value: &str) -> String {
    const CHARS_MAX: usize = 300;
    match value.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => {
            let start = value.get(..at).unwrap_or_default();
            format!("{start}… ({} characters)", value.chars().count())
        }
        None => value.to_owned(),
    }
}

/// Where a value came from, line by line; `default` is what applies when no template writes it.
pub fn explanation(explained: &Explanation, default: Option<&str>) -> String {
    let mut text = String::new();
    match (&explained.value, default) {
        (Some(value), _) => {
            let _ = writeln!(text, "{} = {}", explained.path, shorten(value));
        }
        (None, Some(default)) => {
            let _ = writeln!(text, "{} = {}", explained.path, shorten(default));
            let writer = if explained.is_rendered { "template" } else { "document" };
            let _ = writeln!(text, "  no {writer} writes it: this is kprod's default");
        }
        (None, None) => {
            let _ = writeln!(text, "{} is not set, and has no default", explained.path);
        }
    }
    for place in &explained.lines {
        let how = match place.role {
            PlaceRole::IncludedFrom => "included from",
            _ if explained.is_rendered => "template",
            _ => "document",
        };
        let _ = writeln!(text, "  {how} {place}");
    }
    for trace in &explained.vars {
        let _ = writeln!(
            text,
            "  vars {} = {} from {}",
            trace.path,
            shorten(&trace.value),
            trace.place
        );
        for overridden in trace.overrode.iter().rev() {
            let place = overridden.origin.place();
            let _ = writeln!(text, "    overrode {} from {place}", overridden.value);
        }
    }
    text
}
