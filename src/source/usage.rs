//! What a fleet carries along: layers, values of layers and snippets that no cluster uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::merge;
use super::render::Engine;
use super::vars::VarKind;
use crate::finding::{Finding, Place, has_errors};

/// A value of a layer: its file, its line and its path.
type LayerValue = (Arc<str>, Option<u32>, String);

impl Engine<'_> {
    /// Renders every cluster and reports what none of them uses: layers, values of layers, snippets.
    /// A cluster that cannot be rendered may use anything, so then there is nothing to say about
    /// values and snippets.
    pub fn unused(&self) -> Vec<Finding> {
        let mut layers: BTreeSet<&str> =
            self.tree.vars.keys().map(String::as_str).filter(|path| is_layer(path)).collect();
        let mut snippets: BTreeSet<&str> = self.tree.snippets.keys().map(String::as_str).collect();
        let mut values: BTreeMap<LayerValue, bool> = BTreeMap::new();
        let mut has_failed = false;
        for cluster in self.tree.cluster_names() {
            for layer in merge::layers(self.tree, cluster, &mut Vec::new()) {
                layers.remove(layer.as_str());
            }
            let run = self.run(cluster, &[]);
            has_failed |= has_errors(&run.rendered.findings);
            for (_, template) in &run.templates {
                for spot in &template.lines.spots {
                    snippets.remove(&*spot.file);
                }
            }
            for (id, (node, read)) in run.vars.nodes.iter().zip(&run.read).enumerate() {
                let is_leaf = matches!(node.kind, VarKind::Scalar(_));
                if is_leaf && is_layer(&node.origin.file) {
                    let path = run.vars.path(u32::try_from(id).unwrap_or(u32::MAX));
                    let is_known = super::vars::is_key_of_kprod(&path);
                    let value = (node.origin.file.clone(), node.origin.line, path);
                    *values.entry(value).or_default() |= *read || is_known;
                }
            }
        }
        let mut findings: Vec<Finding> = layers
            .iter()
            .map(|path| Finding::warning("no cluster extends this layer").at(Place::file(*path)))
            .collect();
        if has_failed {
            return findings;
        }
        findings.extend(
            snippets.iter().map(|path| {
                Finding::warning("no template uses this snippet").at(Place::file(*path))
            }),
        );
        let unread = values.into_iter().filter(|(_, is_read)| !is_read);
        findings.extend(unread.map(|((file, line, path), _)| {
            let place = match line {
                Some(line) => Place::at(&*file, line),
                None => Place::file(&*file),
            };
            Finding::warning(format!("no cluster reads `{path}`")).at(place).field(path)
        }));
        findings
    }
}

fn is_layer(path: &str) -> bool {
    path.starts_with("vars/_")
}
