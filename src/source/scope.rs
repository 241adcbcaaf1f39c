//! What templates see: the vars as objects that notice being read, parameters of snippets, and
//! placeholders for what is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, State};

use super::mark::{MARK_FUNCTION, without_marks};
use super::record::Recorder;
use super::vars::{VarKind, Vars};
use crate::yaml;

/// A list or map of the vars.
#[derive(Clone)]
pub(super) struct VarsObject {
    vars: Arc<Vars>,
    id: u32,
    recorder: Arc<Recorder>,
}

impl fmt::Debug for VarsObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.vars.json(self.id))
    }
}

impl VarsObject {
    pub(super) fn new(vars: Arc<Vars>, id: u32, recorder: Arc<Recorder>) -> Self {
        Self { vars, id, recorder }
    }

    /// A value inside this one, without a note that it was read.
    fn peek(&self, id: u32) -> Value {
        match self.vars.node(id).map(|node| &node.kind) {
            None => Value::UNDEFINED,
            Some(VarKind::Scalar(scalar)) => scalar_value(scalar),
            Some(_) => Value::from_object(Self { id, ..self.clone() }),
        }
    }

    /// A value inside this one, noted as read: scalars, and what is empty, are uses; of other lists
    /// and maps, what is read in them counts.
    fn take(&self, id: u32) -> Value {
        let is_use = match self.vars.node(id).map(|node| &node.kind) {
            None => false,
            Some(VarKind::Scalar(_)) => true,
            Some(VarKind::List(items)) => items.is_empty(),
            Some(VarKind::Map { order, .. }) => order.is_empty(),
        };
        if is_use {
            self.recorder.lock().read(id);
        }
        self.peek(id)
    }

    fn missing(&self, key: &str, known: &BTreeMap<String, Value>) -> Option<Value> {
        let mut record = self.recorder.lock();
        if !record.is_collecting || (self.id == 0 && record.globals.contains(key)) {
            return None;
        }
        let id = record.missing(self.id, key, known);
        drop(record);
        Some(Value::from_object(Hole { id: Some(id), recorder: self.recorder.clone() }))
    }

    fn lookup(&self, key: &str) -> Option<Value> {
        let child = self.vars.key(self.id, key)?;
        Some(self.take(child))
    }
}

impl Object for VarsObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.vars.node(self.id).map(|node| &node.kind) {
            Some(VarKind::List(_)) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Some(key) = key.as_str() {
            return self.get_value_by_str(key);
        }
        let child = self.vars.item(self.id, key.as_usize()?)?;
        Some(self.take(child))
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(value) = self.lookup(key) {
            return Some(value);
        }
        self.missing(key, &BTreeMap::new())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.vars.node(self.id).map(|node| &node.kind) {
            Some(VarKind::Map { order, .. }) => {
                Enumerator::Values(order.iter().map(|(key, _)| Value::from(&**key)).collect())
            }
            Some(VarKind::List(_)) => Enumerator::Iter(Box::new(Items {
                owner: self.recorder.lock().current(),
                list: self.clone(),
                next: 0,
            })),
            _ => Enumerator::Empty,
        }
    }
}

/// The items of a list, each noted when a loop comes to it.
struct Items {
    list: Arc<VarsObject>,
    /// The spot that began to go through the list.
    owner: Option<u32>,
    next: usize,
}

impl Items {
    fn ids(&self) -> &[u32] {
        match self.list.vars.node(self.list.id).map(|node| &node.kind) {
            Some(VarKind::List(items)) => items,
            _ => &[],
        }
    }
}

impl Iterator for Items {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let next = self.ids().get(self.next).copied();
        let mut record = self.list.recorder.lock();
        let Some(id) = next else {
            // All was read in one go, by a filter or a test: it all belongs to that line.
            if record.current() == self.owner {
                for id in self.ids() {
                    record.read(*id);
                }
            }
            return None;
        };
        record.iterated(self.owner, id);
        drop(record);
        self.next += 1;
        Some(self.list.peek(id))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.ids().len().saturating_sub(self.next);
        (left, Some(left))
    }
}

fn scalar_value(scalar: &yaml::Value) -> Value {
    match scalar {
        yaml::Value::Bool(value) => Value::from(*value),
        yaml::Value::Int(value) => Value::from(*value),
        yaml::Value::Float(value) => Value::from(*value),
        yaml::Value::String(value) => Value::from(value.as_str()),
        yaml::Value::Null | yaml::Value::Sequence(_) | yaml::Value::Mapping(_) => Value::from(()),
    }
}

/// What a template sees at its root: the cluster's name, the parameters when it is a snippet, and
/// the vars.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) vars: Arc<VarsObject>,
    /// The function behind the marks, which every line calls: it is here to be found first.
    pub(super) at: Value,
    pub(super) params: BTreeMap<String, Value>,
}

/// The one name that every template sees besides the vars.
pub(super) const CLUSTER_NAME: &str = "cluster";

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == MARK_FUNCTION {
            return Some(self.at.clone());
        }
        if self.vars.recorder.lock().is_probing {
            return None;
        }
        if let Some(value) = self.params.get(key) {
            return Some(value.clone());
        }
        if let Some(value) = self.vars.lookup(key) {
            return Some(value);
        }
        self.vars.missing(key, &self.params)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.params.keys().map(|key| Value::from(&**key));
        Enumerator::Values(keys.chain(self.vars.vars.keys(0).map(Value::from)).collect())
    }
}

/// Stands in for a missing value while problems are gathered. It is reported when it is used, so
/// that asking whether it is defined, or giving a default, stays free.
pub(super) struct Hole {
    /// What to report; `None` when that was done already.
    pub(super) id: Option<usize>,
    pub(super) recorder: Arc<Recorder>,
}

impl fmt::Debug for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null")
    }
}

impl Hole {
    fn used(&self) {
        if let Some(id) = self.id {
            self.recorder.lock().use_hole(id);
        }
    }

    fn silent(&self) -> Value {
        self.used();
        Value::from_object(Self { id: None, recorder: self.recorder.clone() })
    }
}

impl Object for Hole {
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(self.silent())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.used();
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.used();
        false
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Ok(self.silent())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        _: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        Ok(self.silent())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.used();
        f.write_str("null")
    }
}

/// Whether a value is missing: undefined, or its placeholder.
pub(super) fn is_missing(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Hole>().is_some()
}

/// The text of a snippet. It is printed with its marks and computed with without them, so that no
/// result can depend on marks.
#[derive(Debug)]
pub(super) struct Fragment(pub(super) String);

impl Object for Fragment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !without_marks(&self.0).is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_marks(&self.0))
    }
}
