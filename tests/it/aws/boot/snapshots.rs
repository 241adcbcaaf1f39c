//! Snapshots, and a restore with one, by machines with no more than their role and people with no more than
//! the printed policy.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use kprod::etcd::Epoch;
use kprod::etcd::epoch::epoch_key;
use kprod::etcd::snapshot::{Content, List, Record, Taken, name, object, snapshots_key};
use serde_json::{Value, json};

use super::super::account::{Account, Network, said};
use super::super::calls::Call;
use super::super::policy::policies;
use super::super::{STAGING, flat};
use super::{denied, wait_until};

/// The bucket for backups that the fleet's vars name.
const BACKUPS: &str = "example-k8s-staging-backups";
const ETCDS: [&str; 2] = ["events", "main"];
/// What a restore says once it waits for the members on the new machines.
const MEMBERS_AWAITED: &str = "waiting for members to be healthy voters";
/// How often a restore may wait in vain for the old machines to end, where two cores have much to do.
const ENDING_RUNS_MAX: usize = 20;
/// Longer than any snapshot is kept: days.
const LONG_AGO_DAYS: i64 = 60;

/// Makes the bucket, which a team has before its cluster.
pub(super) fn make_bucket(owner: &Account<'_>) {
    owner.seed("bucket", &json!({"name": BACKUPS, "region": "eu-west-3"}));
}

/// Who has to do with snapshots.
pub(super) struct Hands<'t, 'm> {
    owner: &'t Account<'m>,
    network: &'t Network,
    /// A machine's.
    role: &'t Account<'m>,
    /// Whoever may apply.
    operator: Account<'m>,
}

impl<'t, 'm> Hands<'t, 'm> {
    pub(super) fn new(owner: &'t Account<'m>, network: &'t Network, role: &'t Account<'m>) -> Self {
        let operator = owner.user("operator", &policies(owner, network, "apply"));
        Self { owner, network, role, operator }
    }

    /// Members take their first snapshots by themselves, and the next when they are asked; what is kept no
    /// longer goes then. Nothing of it is denied.
    pub(super) fn take(&self, show: impl Fn()) {
        let is_taken = |etcd: &&str| {
            let list = self.list(etcd);
            !list.snapshots.is_empty() && list.claim.is_none()
        };
        wait_until(|| ETCDS.iter().all(is_taken), &show);
        let old = ETCDS.map(|etcd| self.leave_an_old_one(etcd));
        let (code, text) = self.operate(&["etcd", "snapshot", STAGING]);
        assert_eq!(code, Some(0), "{text}");
        // What goes is removed after the new one is listed.
        let is_gone =
            |record: &Record| parts(record).iter().all(|key| self.object(BACKUPS, key).is_null());
        wait_until(|| old.iter().all(is_gone), &show);
        for (etcd, old) in ETCDS.iter().zip(&old) {
            let list = self.list(etcd);
            assert_eq!(list.find(&old.name), None);
            assert!(list.snapshots.iter().any(|record| record.request.is_some()), "{list:#?}");
        }
        let calls = self.owner.calls();
        self.check(&calls);
        let of_machines: Vec<&Call> =
            calls.iter().filter(|call| self.is_of_archive(call)).collect();
        let count = |action: &str| of_machines.iter().filter(|call| call.action == action).count();
        for (action, least) in
            [("PutObject", 4), ("GetObject", 2), ("ListObjectsV2", 2), ("DeleteObject", 4)]
        {
            assert!(count(action) >= least, "{action}: {of_machines:#?}");
        }
    }

    /// Neither a machine nor an operator has any right to the snapshots of another cluster; an operator
    /// finds those of the own one, and cannot read them: all secrets are in them.
    pub(super) fn trespass(&self) {
        let key = "other.example.com/etcd/main/other.example.com/main/2026-01-01/snapshot.db";
        self.owner.write_into(BACKUPS, key, "{}");
        let ask = |who: &Account<'_>, key: &str| {
            let asked = json!({"bucket": BACKUPS, "object": key});
            who.python("boot.py", &["snapshots"], &asked)
        };
        for who in [self.role, &self.operator] {
            let told = ask(who, key);
            assert_eq!(
                refused(&told),
                BTreeSet::from(["list", "read", "remove", "write"]),
                "{told}"
            );
        }
        let own = self.list("main").snapshots.remove(0);
        let told = ask(&self.operator, &parts(&own)[0]);
        assert_eq!(refused(&told), BTreeSet::from(["read", "remove", "write"]), "{told}");
        self.owner.calls();
    }

    /// All machines are gone, and whoever may apply has etcd begin anew, until new machines are waited for.
    pub(super) fn begin_restore(&self) {
        let restore = ["etcd", "restore", STAGING, "--confirm", STAGING, "--wait-timeout", "5s"];
        let (mut code, mut text) = self.operate(&[&restore[..], &["--latest"]].concat());
        for _ in 0..ENDING_RUNS_MAX {
            if code != Some(6) || text.contains(MEMBERS_AWAITED) {
                break;
            }
            (code, text) = self.operate(&restore);
        }
        assert_eq!(code, Some(6), "{text}");
        assert!(text.contains(MEMBERS_AWAITED), "{text}");
        self.check(&self.owner.calls());
    }

    /// The new machines have made their data of the snapshots, and formed.
    pub(super) fn end_restore(&self) {
        let (code, text) = self.operate(&["etcd", "restore", STAGING, "--confirm", STAGING]);
        assert_eq!(code, Some(0), "{text}");
        for etcd in ETCDS {
            let body =
                self.object(&self.network.state_bucket, &self.key(&epoch_key(STAGING, etcd)));
            let epoch: Epoch = serde_json::from_value(body).unwrap();
            assert_eq!((epoch.number, epoch.cluster_id().is_some()), (2, true), "{etcd}");
        }
        let calls = self.owner.calls();
        self.check(&calls);
        let fetched = calls.iter().filter(|call| {
            self.is_of_archive(call)
                && call.action == "GetObject"
                && call.params["Key"].ends_with("/snapshot.db")
        });
        assert!(fetched.count() >= 6, "each member fetches what it begins with");
    }

    fn operate(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let run = self.operator.kprod(self.network, arguments);
        (run.status.code(), format!("{}\n{}", flat(&run), said(&run)))
    }

    /// Nothing was denied, to machines or to the operator.
    fn check(&self, calls: &[Call]) {
        for who in [self.role, &self.operator] {
            let denied = denied(calls, who.key_id());
            assert!(denied.is_empty(), "{denied:#?}");
        }
    }

    fn is_of_archive(&self, call: &Call) -> bool {
        call.caller == self.role.key_id()
            && call.params.get("Bucket").is_some_and(|bucket| bucket == BACKUPS)
    }

    /// A snapshot of long ago, in the list and in the bucket.
    fn leave_an_old_one(&self, etcd: &str) -> Record {
        let list = self.list(etcd);
        let newest = list.newest().unwrap();
        let at = newest.taken_at - SignedDuration::from_hours(24 * LONG_AGO_DAYS);
        let content = Content { bytes: newest.bytes, sha256: newest.sha256.clone() };
        let taken = Taken { member: newest.member.clone(), revision: 1, at, content };
        let name = name(&taken);
        let store = format!("s3://{BACKUPS}/{STAGING}/etcd/{etcd}");
        let object = object(&store, STAGING, etcd, &name, "snapshot.db");
        let old = Record { name, object, taken_at: at, ..newest.clone() };
        for key in parts(&old) {
            self.owner.write_into(BACKUPS, &key, "{}");
        }
        let text = String::from_utf8(list.with(old.clone()).to_bytes()).unwrap();
        self.owner.write(self.network, &self.key(&snapshots_key(STAGING, etcd)), &text);
        old
    }

    fn list(&self, etcd: &str) -> List {
        let key = self.key(&snapshots_key(STAGING, etcd));
        match self.object(&self.network.state_bucket, &key) {
            Value::Null => List::empty(),
            body => List::parse(&key, body.to_string().as_bytes()).unwrap(),
        }
    }

    fn object(&self, bucket: &str, key: &str) -> Value {
        self.owner.seed("object", &json!({"bucket": bucket, "key": key}))
    }

    /// Where an object of the cluster's state is.
    fn key(&self, below: &str) -> String {
        format!("{STAGING}/{below}")
    }
}

/// The keys of a snapshot and of the certificates beside it.
fn parts(record: &Record) -> [String; 2] {
    let key = record.object.strip_prefix(&format!("s3://{BACKUPS}/")).unwrap().to_owned();
    let certificates = key.replace("snapshot.db", "certificates.json");
    [key, certificates]
}

/// What was denied of all that was tried.
fn refused(told: &Value) -> BTreeSet<&str> {
    let told = told.as_object().unwrap().iter();
    told.filter(|(_, code)| *code == "AccessDenied").map(|(what, _)| what.as_str()).collect()
}
