//! The state bucket's objects. S3 is strongly consistent, so these never lag.

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::fault::Verdict;
use super::{CallFault, CrashSide, World};
use crate::cloud::{Condition, Entry, StoreError};

/// An object of the state bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Its content; text stays readable in the world's file.
    pub body: Body,
    /// Its entity tag.
    pub etag: String,
    /// When it was written.
    #[serde(default)]
    pub written_at: Time,
}

/// Content, as text where it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(#[serde(with = "in_base64")] Vec<u8>),
}

impl StoredObject {
    /// An object whose entity tag follows from its content.
    pub fn new(body: Vec<u8>, etag: &str, written_at: Time) -> Self {
        Self { body: Body::new(body), etag: etag.to_owned(), written_at }
    }
}

impl Body {
    fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|e| Body::Bytes(e.into_bytes()), Body::Text)
    }

    fn len(&self) -> usize {
        match self {
            Body::Text(text) => text.len(),
            Body::Bytes(bytes) => bytes.len(),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Body::Text(text) => text.clone().into_bytes(),
            Body::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// Bytes as text, in a third of the room that a list of numbers takes.
mod in_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl World {
    /// The large objects whose addresses begin so, with their lengths and when they were written.
    pub fn archived(&mut self, prefix: &str) -> Vec<(String, u64, jiff::Timestamp)> {
        self.pass_call_time();
        self.record("ListObjectsV2", false, "ok");
        let found = self.objects.range(prefix.to_owned()..);
        let found = found.take_while(|(key, _)| key.starts_with(prefix));
        let told = |(key, object): (&String, &StoredObject)| {
            (key.clone(), object.body.len() as u64, object.written_at.timestamp())
        };
        found.map(told).collect()
    }

    /// Reads an object; reports of etcd members and their certificates that nobody has written follow
    /// from their machines.
    pub fn get_object(&mut self, key: &str) -> Option<Entry> {
        self.pass_call_time();
        self.record("GetObject", false, "ok");
        self.look_at_object(key)
    }

    /// Reads an object, without a call.
    pub(super) fn look_at_object(&mut self, key: &str) -> Option<Entry> {
        self.mind_epoch(key);
        let Some(object) = self.objects.get(key) else {
            return self.member_report(key).or_else(|| self.member_leaves(key));
        };
        let written_at = object.written_at.timestamp();
        Some(Entry { body: object.body.to_bytes(), etag: object.etag.clone(), written_at })
    }

    /// Writes an object under a condition and gives its entity tag; `None` when the process was
    /// killed around it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the condition does not hold, or what the fault plan says.
    pub fn put_object(
        &mut self,
        key: &str,
        body: Vec<u8>,
        condition: &Condition,
    ) -> Option<Result<String, StoreError>> {
        self.write_object(|world| {
            world.check_condition("PutObject", key, condition)?;
            let etag = format!("{:016x}", world.draw(u64::MAX));
            let written_at = world.now;
            let object = StoredObject { body: Body::new(body), etag: etag.clone(), written_at };
            world.objects.insert(key.to_owned(), object);
            Ok(etag)
        })
    }

    /// Removes an object under a condition; removing what is not there succeeds without one. `None`
    /// when the process was killed around it.
    ///
    /// # Errors
    /// As [`World::put_object`].
    pub fn remove_object(
        &mut self,
        key: &str,
        condition: &Condition,
    ) -> Option<Result<(), StoreError>> {
        self.write_object(|world| {
            world.check_condition("DeleteObject", key, condition)?;
            world.objects.remove(key);
            Ok(())
        })
    }

    /// A write under the fault plan.
    fn write_object<R>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<R, StoreError>,
    ) -> Option<Result<R, StoreError>> {
        self.pass_call_time();
        let failed = |fault: CallFault| {
            let refused = fault.refused();
            Err(StoreError::failed(refused.kind, refused.message))
        };
        match self.store_verdict() {
            Verdict::Pass => Some(write(self)),
            Verdict::Crash(CrashSide::Before) => None,
            Verdict::Crash(CrashSide::After) => {
                let _ = write(self);
                None
            }
            Verdict::Fault(fault @ CallFault::AnswerLost) => {
                Some(write(self).and_then(|_| failed(fault)))
            }
            Verdict::Fault(fault) => Some(failed(fault)),
        }
    }

    fn check_condition(
        &mut self,
        operation: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        let etag = self.objects.get(key).map(|object| &object.etag);
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => etag.is_none(),
            Condition::Match(wanted) => etag == Some(wanted),
        };
        self.record(operation, true, if holds { "ok" } else { "PreconditionFailed" });
        if holds { Ok(()) } else { Err(StoreError::Conflict(key.to_owned())) }
    }
}
