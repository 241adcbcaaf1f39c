//! An emulated account: what is in it before kprod comes, and kprod at work in it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use kprod::boot::{Program, lock};
use serde_json::{Value, json};

use super::{Calls, Moto, calls, folder, python};

/// One account of an emulator, with credentials that may do everything.
pub(super) struct Account<'m> {
    pub(super) moto: &'m Moto,
    pub(super) number: String,
    keys: Vec<(&'static str, String)>,
}

impl<'m> Account<'m> {
    /// The account that these credentials belong to.
    pub(super) fn new(moto: &'m Moto, number: &str, keys: &Value) -> Self {
        let names = [
            ("AWS_ACCESS_KEY_ID", "access_key_id"),
            ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
            ("AWS_SESSION_TOKEN", "session_token"),
        ];
        // A user's own keys need no token.
        let key = |name: &str| keys[name].as_str().map(str::to_owned);
        let keys = names.into_iter().filter_map(|(env, name)| Some((env, key(name)?))).collect();
        Account { moto, number: number.to_owned(), keys }
    }

    /// The access key that signs this account's calls.
    pub(super) fn key_id(&self) -> &str {
        &self.keys[0].1
    }

    /// The same account as a new user of it sees it, with exactly these policies.
    pub(super) fn user(&self, name: &str, policies: &[Value]) -> Self {
        let policies: Vec<String> = policies.iter().map(Value::to_string).collect();
        let path = format!("/kprod/users?account={}", self.number);
        let asked = json!({"name": name, "policies": policies});
        Account::new(self.moto, &self.number, &self.moto.control("POST", &path, &asked))
    }

    /// One of its credentials, by the name of the variable that holds it.
    pub(super) fn key(&self, name: &str) -> &str {
        let (_, value) = self.keys.iter().find(|(variable, _)| *variable == name).unwrap();
        value
    }

    /// Points a program at this account, and at nothing else that this machine may know of AWS.
    pub(super) fn reach<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        account_of(command, &self.moto.url()).envs(self.keys.iter().cloned())
    }

    /// Runs a part of `tests/moto/seed.py`.
    pub(super) fn seed(&self, part: &str, input: &Value) -> Value {
        self.python("seed.py", &[part], input)
    }

    /// Runs a Python program of `tests/moto`, which talks to this account and answers in JSON.
    pub(super) fn python(&self, file: &str, arguments: &[&str], input: &Value) -> Value {
        let mut command = Command::new(python());
        command.arg(folder().join(file)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = self.reach(&mut command).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{file} {arguments:?} failed");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks `tests/moto/check.py` whether exactly these clusters are there, each thing once; `empty`
    /// asks for none.
    ///
    /// # Errors
    /// What is missing, extra or different, one a line.
    pub(super) fn check(&self, clusters: &[&str]) -> Result<(), String> {
        let mut command = Command::new(python());
        command.arg(folder().join("check.py")).args(clusters);
        let output = self.reach(&mut command).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{told}{errors}")) }
    }

    /// What a team has before kprod comes, for a cluster of the fleet: the VPC with the subnets that
    /// the vars describe, the public zone, the image, and the bucket for the state.
    pub(super) fn network(&self, cluster: &'static str) -> Network {
        let (net, bits, step) = if cluster == super::PROD { (40, 19, 32) } else { (20, 20, 16) };
        let mut subnets = json!({});
        for (index, zone) in ["a", "b", "c"].into_iter().enumerate() {
            let name = format!("eu-west-3{zone}");
            let private = format!("10.{net}.{}.0/{bits}", index * step);
            let public = format!("10.{net}.{}.0/24", index + 240);
            subnets[format!("private.{zone}")] = json!({"zone": name, "cidr": private});
            subnets[format!("public.{zone}")] = json!({"zone": name, "cidr": public});
        }
        let state_bucket = format!("state-{}", self.number);
        let made = self.seed(
            "network",
            &json!({
                "cidr": format!("10.{net}.0.0/16"),
                "zone_name": "k8s.example.com",
                "subnets": subnets,
                "state_bucket": state_bucket,
            }),
        );
        Network { cluster, account: self.number.clone(), state_bucket, made }
    }

    /// kprod in this account, with these arguments; the program for machines is there for an apply.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
        command.args(arguments).stdin(Stdio::null());
        if arguments.first() == Some(&"apply") {
            command.args(["--node-program", Fleet::PROGRAM]);
        }
        self.reach(&mut command);
        command
    }

    /// kprod in this account on a cluster of the fleet: `--cloud aws` and the network's real ids
    /// come by themselves.
    pub(super) fn kprod_command(&self, network: &Network, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.args(["--cloud", "aws"]).args(network.sets());
        command
    }

    /// Runs kprod on a cluster of the fleet to its end.
    pub(super) fn kprod(&self, network: &Network, arguments: &[&str]) -> Output {
        self.kprod_command(network, arguments).output().unwrap()
    }

    /// Starts kprod on a cluster of the fleet.
    pub(super) fn start(&self, network: &Network, arguments: &[&str]) -> Run {
        Run::start(&mut self.kprod_command(network, arguments))
    }

    /// A plan as JSON, with its exit code.
    pub(super) fn plan(&self, network: &Network, arguments: &[&str]) -> (i32, Value) {
        let sets = network.sets();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        self.plan_with(network.cluster, &[arguments, &sets].concat())
    }

    /// A plan of a cluster as JSON, with its exit code, with exactly these arguments.
    pub(super) fn plan_with(&self, cluster: &str, arguments: &[&str]) -> (i32, Value) {
        let base = ["plan", cluster, "--cloud", "aws", "--detailed-exitcode", "-o", "json"];
        let output = self.command(&[&base, arguments].concat()).output().unwrap();
        let code = output.status.code().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let plan = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no plan, exit {code}: {said}"));
        (code, plan)
    }

    /// This account's calls so far, which are forgotten thereby. Seeding makes calls too.
    pub(super) fn calls(&self) -> Calls {
        let path = format!("/kprod/calls?account={}", self.number);
        calls::read(self.moto.control("DELETE", &path, &Value::Null))
    }

    /// Waits until this account's log holds so many calls that changed a resource; false when a
    /// quarter of an hour was not enough.
    pub(super) fn changes_reach(&self, count: u64) -> bool {
        let path = format!("/kprod/wait?account={}", self.number);
        let wanted = json!({"changes": count, "seconds": 900});
        self.moto.control("POST", &path, &wanted) == json!(true)
    }

    /// What is in this account: machines and groups.
    #[cfg(feature = "node")]
    pub(super) fn machines(&self) -> Value {
        let path = format!("/kprod/inventory?account={}", self.number);
        self.moto.control("GET", &path, &Value::Null)
    }

    /// Writes an object of the state bucket past everybody's rights, without a call.
    pub(super) fn write(&self, network: &Network, key: &str, text: &str) {
        self.write_into(&network.state_bucket, key, text);
    }

    /// The same of any bucket.
    pub(super) fn write_into(&self, bucket: &str, key: &str, text: &str) {
        let path = format!("/kprod/objects?account={}", self.number);
        let sent = json!({"bucket": bucket, "objects": {key: text}});
        self.moto.control("POST", &path, &sent);
    }

    /// Sets the rules that break this account's calls, in place of those before.
    pub(super) fn faults(&self, rules: Value) {
        let path = format!("/kprod/faults?account={}", self.number);
        self.moto.control("POST", &path, &rules);
    }

    /// Lets time pass in this account at once: machines start and end, hooks run out, lags end.
    pub(super) fn let_pass(&self, seconds: u32) {
        let path = format!("/kprod/pass?account={}", self.number);
        self.moto.control("POST", &path, &json!({"seconds": seconds}));
    }

    /// Changes settings of this account.
    pub(super) fn config(&self, settings: &Value) {
        let path = format!("/kprod/config?account={}", self.number);
        self.moto.control("POST", &path, settings);
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.calls();
        }
    }
}

/// What a team had before kprod came, and the cluster that is to live in it.
pub(super) struct Network {
    pub(super) cluster: &'static str,
    pub(super) state_bucket: String,
    pub(super) made: Value,
    account: String,
}

impl Network {
    /// What seeding made, by its place in the answer of `seed.py network`.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.made.pointer(pointer).and_then(Value::as_str).unwrap()
    }

    /// The private subnet of a zone by its letter.
    pub(super) fn subnet(&self, zone: &str) -> &str {
        self.made["subnets"][format!("private.{zone}")].as_str().unwrap()
    }

    /// The arguments that name the network by its real ids.
    pub(super) fn sets(&self) -> Vec<String> {
        let mut values = vec![
            format!("network.id={}", self.text("/vpc")),
            format!("image={}", self.text("/image")),
            format!("state_bucket={}", self.state_bucket),
        ];
        for (name, id) in self.made["subnets"].as_object().unwrap() {
            values.push(format!("network.{name}.id={}", id.as_str().unwrap()));
        }
        let values = values.into_iter().flat_map(|value| ["--set".to_owned(), value]);
        let account = format!("account={}", self.account);
        values.chain(["--set-string".to_owned(), account]).collect()
    }
}

/// A run of kprod that goes on beside the test. It is killed when the test leaves it.
pub(super) struct Run {
    child: Child,
    told: Heard,
    said: Heard,
}

impl Run {
    /// Starts a command; what it prints is kept.
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = Heard::listen(child.stdout.take().unwrap());
        let said = Heard::listen(child.stderr.take().unwrap());
        Run { child, told, said }
    }

    /// The exit code, and what it said on stdout and on stderr. It waits as long as the run takes.
    pub(super) fn finish(mut self) -> (Option<i32>, String, String) {
        let (told, said) = (self.told.until_the_end(), self.said.until_the_end());
        let status = self.child.wait().unwrap();
        (status.code(), told, said)
    }

    /// What it has printed on stdout so far.
    #[cfg(feature = "node")]
    pub(super) fn told(&self) -> String {
        self.told.so_far()
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name: `INT`, `TERM`, `STOP`, `CONT`.
    pub(super) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is heard of a run while it goes on.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Heard {
    fn listen(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = bytes.clone();
        let listener = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                heard.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, listener: Some(listener) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn until_the_end(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        self.so_far()
    }
}

/// What machines are to fetch where none does: a program that starts the one for machines, which is too
/// large to be passed around in each test.
const SHIM: &str = concat!("#!/bin/sh\nexec ", env!("CARGO_BIN_EXE_kprod-node"), " \"$@\"\n");

/// The repository's fleet, which pins a program that is there.
pub(super) struct Fleet {
    folder: PathBuf,
    pub(super) program: Vec<u8>,
}

static FLEET: OnceLock<Fleet> = OnceLock::new();

impl Fleet {
    /// The file that has the program, in the folder.
    const PROGRAM: &str = "program";

    fn new(name: &str, program: Vec<u8>) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        crate::env::fleet_into(&folder);
        std::fs::write(folder.join(Self::PROGRAM), &program).unwrap();
        std::fs::write(folder.join(lock::FILE), lock::text(&Program::of(&program, None))).unwrap();
        Self { folder, program }
    }

    /// That of this process.
    pub(super) fn get() -> &'static Self {
        FLEET.get_or_init(|| Self::new("aws-fleet", SHIM.as_bytes().to_vec()))
    }

    /// Has the machines of this process fetch the program for machines itself.
    pub(super) fn of_real_machines() -> &'static Self {
        let program = std::fs::read(env!("CARGO_BIN_EXE_kprod-node")).unwrap();
        let fleet = Self::new("aws-fleet-real", program);
        assert!(FLEET.set(fleet).is_ok(), "the process has another fleet already");
        Self::get()
    }

    /// Where the program is.
    pub(super) fn program_file(&self) -> PathBuf {
        self.folder.join(Self::PROGRAM)
    }
}

/// The program that the fleet pins.
pub(super) fn program() -> Program {
    Program::of(&Fleet::get().program, None)
}

/// Points a program at an emulator, and at nothing else that this machine may know of AWS.
pub(super) fn account_of<'c>(command: &'c mut Command, url: &str) -> &'c mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(&Fleet::get().folder)
        .env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")))
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

/// All that a run said, for the message of a test that fails.
pub(super) fn said(run: &Output) -> String {
    let (told, errors) = (&run.stdout, &run.stderr);
    format!("{}\n{}", String::from_utf8_lossy(told), String::from_utf8_lossy(errors))
}
