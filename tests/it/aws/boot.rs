//! Machines that boot in an emulated account: what an apply put into their user data, run as it stands, with
//! no more rights than their role has.
//!
//! Machines are namespaces with real etcd, as in `etcd`. Each has a metadata service of its own, which hands
//! out its role, and reaches the emulator; where both are, says the file that an image may bring. The
//! emulator checks the role's rights as IAM does.

mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kprod::boot::user_data::{ENVIRONMENT_FILE, PART};
use kprod::cloud::asset;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::account::{Account, Network, PROGRAM, program, said};
use super::calls::Call;
use super::{Moto, STAGING};
use crate::etcd::disk::Disks;
use crate::etcd::machine::{RESOLVER, Slot, make_vpc};
use crate::etcd::{dns, tell};
use crate::user_data::part;
use snapshots::Hands;

/// Three machines on two cores that fetch a program and boot six members at once.
const BOOT: Duration = Duration::from_secs(240);

#[test]
fn machines_boot_by_their_user_data_with_no_more_than_their_role() {
    tell("aws::boot::machines_boot");
}

/// Three machines are launched by an apply, fetch their program, form both etcd clusters and complete
/// their launch; nothing that they ask for is denied. What belongs to another cluster is. They take
/// snapshots, and when all of them are lost, others begin with these.
#[test]
#[ignore = "runs in namespaces of its own"]
fn machines_boot() {
    make_vpc();
    let moto = Moto::start();
    let owner = moto.account();
    let network = owner.network(STAGING);
    snapshots::make_bucket(&owner);
    owner.config(&json!({"hooks_complete_seconds": null}));
    let role = machines_role(&owner, &network);
    let words = ["apply", STAGING, "--yes", "--wait-timeout", "1s"];
    let applied = owner.kprod(&network, &words);
    assert_eq!(applied.status.code(), Some(6), "machines wait in their hook: {}", said(&applied));

    let ready = owner.python("boot.py", &["parts"], &json!({}));
    dns::serve(RESOLVER, records(&ready));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let emulator = forward(moto.port, heads.clone());
    let folder = TempDir::new().unwrap();
    let disks = Disks::new(folder.path());
    owner.calls();
    let mut slots = slots(&ready, &folder, &disks, &role, emulator);
    // Somebody has put something else of the same length there: it is not kept, and the real one is
    // fetched once it is back.
    let put = |text: String| owner.write(&network, &program_key(), &text);
    put("x".repeat(PROGRAM.len()));
    for slot in slots.values_mut() {
        slot.boot(RESOLVER);
    }
    let refuses = |slot: &Slot| slot.log().contains("is not what its name says");
    wait_until(|| slots.values().all(refuses), || show(&slots));
    put(String::from_utf8_lossy(PROGRAM).into_owned());
    wait(&owner, &network, &slots);

    let calls = owner.calls();
    check_calls(&calls, role.key_id(), slots.len());
    let asked = json!({
        "head": heads.lock().unwrap().first().expect("the program was fetched"),
        "access_key_id": role.key_id(),
        "secret_access_key": role.key("AWS_SECRET_ACCESS_KEY"),
    });
    let signature = owner.python("boot.py", &["signature"], &asked);
    assert_eq!(signature["found"], signature["right"], "{asked}");
    assert_eq!(signature["unsigned"], json!([]));

    let hands = Hands::new(&owner, &network, &role);
    hands.take(|| show(&slots));

    let bucket = json!({"bucket": network.state_bucket});
    let mut others = owner.python("boot.py", &["strangers"], &bucket);
    let machine = ready["machines"].as_object().unwrap().values().next().unwrap();
    others["instance"] = machine.clone();
    let told = role.python("boot.py", &["trespass"], &others);
    for (what, code) in told.as_object().unwrap() {
        let is_denied = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]
            .contains(&code.as_str().unwrap_or_default());
        assert!(is_denied, "{what}: {told}");
    }
    hands.trespass();
    // What the machines did to their volumes and to the bucket is no change.
    let (code, plan) = owner.plan(&network, &[]);
    assert_eq!(code, 0, "{plan:#}");

    drop(slots);
    hands.begin_restore();
    let ready = replaced(&owner, &ready);
    let folder = TempDir::new().unwrap();
    let disks = Disks::new(folder.path());
    let mut slots = self::slots(&ready, &folder, &disks, &role, emulator);
    for slot in slots.values_mut() {
        slot.boot(RESOLVER);
    }
    wait(&owner, &network, &slots);
    hands.end_restore();
}

/// What stands ready once other machines have come in place of all those that host etcd.
fn replaced(owner: &Account<'_>, before: &Value) -> Value {
    let machines = |ready: &Value| -> BTreeSet<String> {
        let hosts = before["addresses"].as_object().unwrap().keys();
        let ids = hosts.filter_map(|group| ready["machines"][group].as_str());
        ids.map(str::to_owned).collect()
    };
    let old = machines(before);
    let ready = || owner.python("boot.py", &["parts"], &json!({}));
    let is_replaced = || {
        let new = machines(&ready());
        new.len() == old.len() && new.is_disjoint(&old)
    };
    wait_until(is_replaced, || ());
    ready()
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

/// A place for each machine that hosts etcd: its address, its disks, and what its user data is.
fn slots(
    ready: &Value,
    folder: &TempDir,
    disks: &Disks,
    role: &Account<'_>,
    emulator: u16,
) -> BTreeMap<String, Slot> {
    let mut slots = BTreeMap::new();
    for (group, address) in ready["addresses"].as_object().unwrap() {
        let Some(instance) = ready["machines"][group].as_str() else { continue };
        let address = address.as_str().unwrap().parse().unwrap();
        let slot = Slot::new(slots.len(), &folder.path().join(group), address);
        let user_data = ready["user_data"][group].as_str().unwrap();
        fs::write(slot.folder.join("user-data"), part(user_data, PART)).unwrap();
        let metadata = serve_metadata(instance, role);
        let environment = slot.folder.join(ENVIRONMENT_FILE.trim_start_matches('/'));
        fs::create_dir_all(environment.parent().unwrap()).unwrap();
        let text = format!(
            "AWS_ENDPOINT_URL=http://{RESOLVER}:{emulator}\n\
             AWS_EC2_METADATA_SERVICE_ENDPOINT=http://{RESOLVER}:{metadata}\n"
        );
        fs::write(environment, text).unwrap();
        // `a.etcd-main.CLUSTER` belongs to the zone of its letter, as does the group.
        let letter = group.split('.').next().unwrap().chars().next_back().unwrap();
        for (name, volume) in ready["volumes"].as_object().unwrap() {
            if name.starts_with(&format!("{letter}.etcd-")) {
                let volume = volume.as_str().unwrap();
                slot.plug(volume, &disks.make(volume));
            }
        }
        slots.insert(group.clone(), slot);
    }
    assert_eq!(slots.len(), 3, "{ready:#}");
    slots
}

/// Where the program is in the state bucket.
fn program_key() -> String {
    format!("{STAGING}/{}", asset::key(STAGING, &program().sha256))
}

/// What the machines have said.
#[expect(clippy::print_stderr, reason = "a test that fails tells why")]
fn show(slots: &BTreeMap<String, Slot>) {
    for (group, slot) in slots {
        eprintln!("== {group} at {}\n{}", slot.address, slot.log());
    }
}

/// Waits until something holds; tells why not when it takes too long.
fn wait_until(holds: impl Fn() -> bool, tell: impl Fn()) {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > BOOT {
            tell();
            panic!("waited in vain for {BOOT:?}");
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Waits until all members are voters and well, and their machines in service.
fn wait(owner: &Account<'_>, network: &Network, slots: &BTreeMap<String, Slot>) {
    let is_up = || {
        let status = owner.kprod(network, &["etcd", "status", STAGING, "-o", "json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let etcds = status["etcds"].as_array().cloned().unwrap_or_default();
        let members = etcds.iter().flat_map(|etcd| etcd["members"].as_array().unwrap());
        let well = members.filter(|one| one["state"] == "leader" || one["state"] == "follower");
        let machines = owner.machines();
        let groups = machines["groups"].as_array().unwrap().iter();
        let of_hosts = groups.filter(|group| slots.contains_key(group["name"].as_str().unwrap()));
        let serves = |group: &Value| {
            group["members"].as_object().unwrap().values().all(|state| state == "InService")
        };
        well.count() == 6 && of_hosts.clone().count() == 3 && of_hosts.clone().all(serves)
    };
    wait_until(is_up, || show(slots));
}

/// Nothing that the machines asked for was denied, and they did what they are for.
fn check_calls(calls: &[Call], key_id: &str, machines: usize) {
    let denied = denied(calls, key_id);
    assert!(denied.is_empty(), "{denied:#?}");
    let made: Vec<&Call> = calls.iter().filter(|call| call.caller == key_id).collect();
    let count = |action: &str| {
        let worked = made.iter().filter(|call| (200..300).contains(&call.status));
        worked.filter(|call| call.action == action).count()
    };
    for action in ["AttachVolume", "CreateTags"] {
        assert_eq!(count(action), 2 * machines, "{action}: one for each member");
    }
    assert_eq!(count("CompleteLifecycleAction"), machines);
    for action in
        ["DescribeVolumes", "GetParameter", "GetParametersByPath", "GetObject", "PutObject"]
    {
        assert!(count(action) > 0, "{action}");
    }
    let fetched = made.iter().filter(|call| {
        call.params.get("Key").is_some_and(|key| key.contains("/assets/")) && call.status == 200
    });
    assert!(fetched.count() >= 2 * machines, "each fetches what is there, and again what is right");
}

/// What somebody asked for and was denied.
fn denied<'c>(calls: &'c [Call], key_id: &str) -> Vec<&'c Call> {
    let made = calls.iter().filter(|call| call.caller == key_id);
    let is_denied = |call: &&Call| {
        call.status == 403 || call.code.contains("Denied") || call.code == "UnauthorizedOperation"
    };
    made.filter(is_denied).collect()
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
