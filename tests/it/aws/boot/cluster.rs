//! A cluster that an apply has made in an emulated account, and machines that boot in it: what each of them
//! finds of EC2 is a namespace with its address and disks, a metadata service, and the emulator.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use kprod::boot::user_data::{ENVIRONMENT_FILE, PART};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::account::{Account, Fleet, Network, said};
use super::super::{Moto, STAGING};
use super::{snapshots, wait_until};
use crate::etcd::disk::Disks;
use crate::etcd::dns;
use crate::etcd::machine::{RESOLVER, Slot};
use crate::user_data::part;

/// What there is before a machine runs.
pub(super) struct Cluster<'m> {
    /// It pins the program for machines itself.
    pub(super) fleet: &'static Fleet,
    pub(super) owner: Account<'m>,
    pub(super) network: Network,
    /// With what a machine may do.
    pub(super) role: Account<'m>,
    /// The heads of requests for assets.
    pub(super) heads: Arc<Mutex<Vec<String>>>,
    /// Where machines reach the emulator.
    emulator: u16,
}

impl<'m> Cluster<'m> {
    /// Applied, with a machine in each group, whose launch nobody completes but itself. Its names are
    /// answered.
    pub(super) fn applied(moto: &'m Moto) -> Self {
        let fleet = Fleet::of_real_machines();
        let owner = moto.account();
        let network = owner.network(STAGING);
        snapshots::make_bucket(&owner);
        owner.config(&json!({"hooks_complete_seconds": null}));
        let role = machines_role(&owner, &network);
        let words = ["apply", STAGING, "--yes", "--wait-timeout", "1s"];
        let applied = owner.kprod(&network, &words);
        assert_eq!(
            applied.status.code(),
            Some(6),
            "machines wait in their hook: {}",
            said(&applied)
        );
        let heads = Arc::new(Mutex::new(Vec::new()));
        let emulator = forward(moto.port, heads.clone());
        let cluster = Self { fleet, owner, network, role, heads, emulator };
        dns::serve(RESOLVER, records(&cluster.ready()));
        cluster
    }

    /// What stands ready for machines, as `boot.py parts` tells it.
    pub(super) fn ready(&self) -> Value {
        self.owner.python("boot.py", &["parts"], &json!({}))
    }
}

/// A user with exactly the rights of the role of the machines, as a plan says them. Policies that an
/// emulated user takes are shorter than a role's, so that the statements come in several.
fn machines_role<'m>(owner: &Account<'m>, network: &Network) -> Account<'m> {
    const CHARS: usize = 5000;
    let plan = owner.plan(network, &[]).1;
    let address = format!("role/masters.{STAGING}");
    let mut resources = plan["resources"].as_array().unwrap().iter();
    let role = resources.find(|resource| resource["address"] == address.as_str()).unwrap();
    let policies = role["after"]["inline_policies"].as_object().unwrap().values();
    let mut documents: Vec<Vec<&Value>> = vec![Vec::new()];
    for statement in policies.flat_map(|policy| policy["Statement"].as_array().unwrap()) {
        let last = documents.last_mut().unwrap();
        let chars: usize = last.iter().map(|one| one.to_string().len()).sum();
        match chars + statement.to_string().len() <= CHARS {
            true => last.push(statement),
            false => documents.push(vec![statement]),
        }
    }
    let document = |statements| json!({"Version": "2012-10-17", "Statement": statements});
    owner.user("machines", &documents.into_iter().map(document).collect::<Vec<_>>())
}

fn records(ready: &Value) -> dns::Records {
    let records = ready["records"].as_array().unwrap().iter();
    let texts = |values: &Value| {
        let values = values.as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().trim_end_matches('.').to_owned()).collect()
    };
    let known = records.filter(|record| ["A", "SRV"].contains(&record[1].as_str().unwrap()));
    let known = known.map(|record| {
        let name = record[0].as_str().unwrap().to_ascii_lowercase();
        ((name, dns::type_of(record[1].as_str().unwrap())), texts(&record[2]))
    });
    known.filter(|(_, values): &(_, Vec<String>)| !values.is_empty()).collect()
}

/// A place for the machine of each group that hosts etcd: its address, its disks, and what its user data is.
pub(super) struct Machines<'c, 'm> {
    pub(super) cluster: &'c Cluster<'m>,
    pub(super) slots: BTreeMap<String, Slot>,
    _disks: Disks,
    pub(super) folder: TempDir,
}

impl<'c, 'm> Machines<'c, 'm> {
    /// The machines that stand ready, with blank disks.
    pub(super) fn of(cluster: &'c Cluster<'m>, ready: &Value) -> Self {
        let folder = TempDir::new().unwrap();
        let disks = Disks::new(folder.path());
        let mut slots = BTreeMap::new();
        for (group, address) in ready["addresses"].as_object().unwrap() {
            let Some(instance) = ready["machines"][group].as_str() else { continue };
            let address = address.as_str().unwrap().parse().unwrap();
            let slot = Slot::new(slots.len(), &folder.path().join(group), address);
            // `a.etcd-main.CLUSTER` belongs to the zone of its letter, as does the group.
            let letter = group.split('.').next().unwrap().chars().next_back().unwrap();
            for (name, volume) in ready["volumes"].as_object().unwrap() {
                if name.starts_with(&format!("{letter}.etcd-")) {
                    let volume = volume.as_str().unwrap();
                    slot.plug(volume, &disks.make(volume));
                }
            }
            cluster.launch(&slot, instance, ready["user_data"][group].as_str().unwrap());
            slots.insert(group.clone(), slot);
        }
        assert_eq!(slots.len(), 3, "{ready:#}");
        Self { cluster, slots, _disks: disks, folder }
    }

    /// Boots them all.
    pub(super) fn boot(&mut self) {
        for slot in self.slots.values_mut() {
            slot.boot(RESOLVER);
        }
    }

    /// Boots the machine that a group has launched in place of the one that was here.
    pub(super) fn boot_next(&mut self, group: &str, instance: &str) {
        let slot = self.slots.get_mut(group).unwrap();
        let ready = self.cluster.ready();
        self.cluster.launch(slot, instance, ready["user_data"][group].as_str().unwrap());
        slot.boot(RESOLVER);
    }

    /// What the machines have said.
    #[expect(clippy::print_stderr, reason = "a test that fails tells why")]
    pub(super) fn show(&self) {
        for (group, slot) in &self.slots {
            eprintln!("== {group} at {}\n{}", slot.address, slot.log());
        }
    }

    /// Waits until all members are voters and well, and their machines in service.
    pub(super) fn wait_until_up(&self) {
        wait_until(|| self.is_up(), || self.show());
    }

    fn is_up(&self) -> bool {
        let Cluster { owner, network, .. } = self.cluster;
        let status = owner.kprod(network, &["etcd", "status", STAGING, "-o", "json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let etcds = status["etcds"].as_array().cloned().unwrap_or_default();
        let members = etcds.iter().flat_map(|etcd| etcd["members"].as_array().unwrap());
        let well = members.filter(|one| one["state"] == "leader" || one["state"] == "follower");
        let machines = owner.machines();
        let groups = machines["groups"].as_array().unwrap().iter();
        let of_hosts =
            groups.filter(|group| self.slots.contains_key(group["name"].as_str().unwrap()));
        let serves = |group: &Value| {
            group["members"].as_object().unwrap().values().all(|state| state == "InService")
        };
        well.count() == 6 && of_hosts.clone().count() == 3 && of_hosts.clone().all(serves)
    }
}

impl Cluster<'_> {
    /// Makes of a place that of a machine: who it is, and what it runs first.
    fn launch(&self, slot: &Slot, instance: &str, user_data: &str) {
        fs::write(slot.folder.join("user-data"), part(user_data, PART)).unwrap();
        let metadata = serve_metadata(instance, &self.role);
        let environment = slot.folder.join(ENVIRONMENT_FILE.trim_start_matches('/'));
        fs::create_dir_all(environment.parent().unwrap()).unwrap();
        let text = format!(
            "AWS_ENDPOINT_URL=http://{RESOLVER}:{}\n\
             AWS_EC2_METADATA_SERVICE_ENDPOINT=http://{RESOLVER}:{metadata}\n",
            self.emulator
        );
        fs::write(environment, text).unwrap();
    }
}

/// Answers for the emulator at an address that machines reach; keeps the heads of requests for assets.
fn forward(port: u16, heads: Arc<Mutex<Vec<String>>>) -> u16 {
    let listener = TcpListener::bind((RESOLVER, 0)).unwrap();
    let here = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for inward in listener.incoming().flatten() {
            let outward = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let answers = (outward.try_clone().unwrap(), inward.try_clone().unwrap());
            let heads = heads.clone();
            thread::spawn(move || copy(inward, outward, Some(&heads)));
            thread::spawn(move || copy(answers.0, answers.1, None));
        }
    });
    here
}

fn copy(mut from: TcpStream, mut to: TcpStream, heads: Option<&Mutex<Vec<String>>>) {
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(heads) = heads {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text.starts_with("GET ") && text.contains("/assets/") {
                heads.lock().unwrap().push(text.into_owned());
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The metadata service of one machine, as far as it is asked; tokens are demanded.
/// Source: EC2 user guide, "Use the Instance Metadata Service".
fn serve_metadata(instance: &str, role: &Account<'_>) -> u16 {
    const TOKEN: &str = "a-token";
    let listener = TcpListener::bind((RESOLVER, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let instance = instance.to_owned();
    let credentials = json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Expiration": "2100-01-01T00:00:00Z",
        "AccessKeyId": role.key_id(),
        "SecretAccessKey": role.key("AWS_SECRET_ACCESS_KEY"),
        "Token": "a-session",
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                head.push_str(&String::from_utf8_lossy(&buffer[..length]));
                if head.contains("\r\n\r\n") {
                    break;
                }
            }
            let lower = head.to_ascii_lowercase();
            let has_token = lower.contains(&format!("x-aws-ec2-metadata-token: {TOKEN}\r\n"));
            let roles = "/latest/meta-data/iam/security-credentials/";
            let body = match head.split(' ').take(2).collect::<Vec<_>>().as_slice() {
                ["PUT", "/latest/api/token"] if lower.contains("token-ttl-seconds: ") => {
                    Some(TOKEN.to_owned())
                }
                _ if !has_token => None,
                ["GET", "/latest/meta-data/instance-id"] => Some(instance.clone()),
                ["GET", path] if *path == roles => Some("machines".to_owned()),
                ["GET", path] if *path == format!("{roles}machines") => {
                    Some(format!("{credentials:#}"))
                }
                _ => None,
            };
            let (status, body) = match body {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", String::new()),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\
                 X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}
