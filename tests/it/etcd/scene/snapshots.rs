//! Snapshots of a scene's members, and restores, by the command line.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kprod::cloud::archive::{Address, Archive};
use kprod::cloud::{Cloud, Condition};
use kprod::etcd::snapshot::{List, Record, Request, prefix, request_key};
use kprod::snapshot;

use super::super::super::env::kprod;
use super::super::machine::{sh, stop};
use super::{Scene, boot_ms};

/// How long a member may take for what was asked for.
const PATIENCE: Duration = Duration::from_secs(120);

impl Scene {
    /// Has a member of each etcd cluster take a snapshot.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, Record> {
        let request = Request {
            format_version: Request::FORMAT_VERSION,
            id: format!("test-{}", boot_ms()),
            asked_at: self.cloud.now(),
            member: None,
            alone: false,
        };
        for etcd in self.urls.keys() {
            let asked = async {
                let known = snapshot::request(&self.cloud, self.cluster, etcd).await?;
                snapshot::ask(&self.cloud, self.cluster, etcd, &known, &request).await
            };
            self.runtime.block_on(asked).unwrap();
        }
        self.answers(&request.id)
    }

    /// Waits for the snapshots that a request asked for.
    fn answers(&self, request: &str) -> BTreeMap<String, Record> {
        let began = Instant::now();
        loop {
            let lists: BTreeMap<&String, List> =
                self.urls.keys().map(|etcd| (etcd, self.list(etcd))).collect();
            let answer =
                |etcd: &String| Some((etcd.clone(), lists[etcd].answer_to(request)?.clone()));
            let taken: BTreeMap<String, Record> = self.urls.keys().filter_map(answer).collect();
            if taken.len() == lists.len() {
                return taken;
            }
            if began.elapsed() > PATIENCE {
                self.show();
                panic!("no snapshot was taken: {lists:#?}");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// What is listed of an etcd cluster.
    pub(crate) fn list(&self, etcd: &str) -> List {
        let read = snapshot::read(&self.cloud, self.cluster, etcd);
        self.runtime.block_on(read).unwrap().list
    }

    /// The addresses of all that lies in the archive where an etcd cluster's snapshots do.
    pub(crate) fn stored(&self, etcd: &str) -> Vec<String> {
        let (cluster, store) = (self.cluster, "s3://example-k8s-staging-backups");
        let store = format!("{store}/{cluster}/etcd/{etcd}");
        let place: Address = prefix(&store, cluster, etcd).parse().unwrap();
        let stored = self.runtime.block_on(self.cloud.stored(&place)).unwrap();
        stored.iter().map(|stored| stored.address.to_string()).collect()
    }

    /// The content of an object.
    pub(crate) fn object(&self, object: &str) -> Vec<u8> {
        self.runtime.block_on(self.cloud.get(object)).unwrap().unwrap().body
    }

    /// Flips a byte of an object.
    pub(crate) fn flip(&self, object: &str, at: usize) {
        let mut body = self.object(object);
        body[at] ^= 1;
        self.runtime.block_on(self.cloud.put(object, body, Condition::Any)).unwrap();
    }

    /// Gives the machines, none of which runs yet, disks on which a byte of each snapshot of `main` is
    /// another one as soon as it is written.
    pub(crate) fn spoil_disks(&self) {
        for slot in self.slots.values() {
            let etcdctl = slot.folder.join("etcdctl");
            fs::write(&etcdctl, include_str!("../etcdctl.sh")).unwrap();
            fs::set_permissions(&etcdctl, fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(slot.folder.join("spoilt"), "").unwrap();
        }
    }

    /// Has those disks keep what is written.
    pub(crate) fn mend_disks(&self) {
        for slot in self.slots.values() {
            fs::remove_file(slot.folder.join("spoilt")).unwrap();
        }
    }

    /// Runs a restore until it waits for members, or is done; gives its exit code.
    pub(crate) fn restore(&self, more: &[&str]) -> Option<i32> {
        told(&self.restore_command(more).output().unwrap())
    }

    /// The same from the one member that is left, of which the run asks for a snapshot itself; gives the
    /// snapshots, too. A run's sleeps take no time in the simulated account, a real member's work does:
    /// once it has asked, the run stands still until it is answered.
    pub(crate) fn restore_from_survivor(
        &self,
        member: &str,
    ) -> (Option<i32>, BTreeMap<String, Record>) {
        let mut command = self.restore_command(&["--survivor", member]);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = run.id();
        let keys: Vec<String> =
            self.urls.keys().map(|etcd| request_key(self.cluster, etcd)).collect();
        let began = Instant::now();
        // Whoever looks into the account has it locked: the run does not stop with the lock in its hand.
        let is_stopped = || {
            self.cloud.with_world(|world| {
                let is_asked = keys.iter().all(|key| world.objects.contains_key(key));
                if is_asked {
                    stop(|| vec![id.to_string()]);
                }
                is_asked
            })
        };
        while !is_stopped().unwrap() {
            assert!(began.elapsed() < PATIENCE, "{keys:?} are not asked for");
            std::thread::sleep(Duration::from_millis(5));
        }
        let asked = self.urls.keys().map(|etcd| {
            let request = snapshot::request(&self.cloud, self.cluster, etcd);
            self.runtime.block_on(request).unwrap().request.unwrap()
        });
        let asked: Vec<Request> = asked.collect();
        assert!(asked.iter().all(|request| request.alone && *request == asked[0]), "{asked:?}");
        let taken = self.answers(&asked[0].id);
        sh(&format!("kill -CONT {id}"));
        (told(&run.wait_with_output().unwrap()), taken)
    }

    /// Ten minutes of the account's time are enough for its groups to bring other machines; the usual half
    /// an hour is hundreds of looks.
    fn restore_command(&self, more: &[&str]) -> Command {
        let mut command = kprod(self.fleet.path());
        let args = ["etcd", "restore", self.cluster, "--confirm", self.cluster];
        command.args(args).args(["--wait-timeout", "10m"]).args(more);
        command
    }
}

/// Shows what a run said, and gives its exit code.
fn told(run: &Output) -> Option<i32> {
    eprintln!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    run.status.code()
}
