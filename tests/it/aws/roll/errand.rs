//! One roll by a process of its own, so that it can be killed: the test program runs itself again,
//! with credentials, network and API server as a run of kprod has them, and only time running faster.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use kprod::apply::StopSignal;
use kprod::boot::Program;
use kprod::cloud::Cloud;
use kprod::cloud::aws::{AwsCloud, Connection};
use kprod::desired;
use kprod::event::{Event, RollEvent};
use kprod::kube::KubeAccess;
use kprod::kube::client::{KubeClient, KubeLimits};
use kprod::roll::Policy;
use kprod::roll::driver::{self, RollRequest};
use kprod::source::{Limits, LoadLimits, Set, load, render};
use kprod::spec::{Spec, Strictness, read};
use kprod::state::StateAddress;
use serde::{Deserialize, Serialize};

use super::super::account::{Account, Run};
use super::fast::{Fast, FastTime};

/// The variable that holds an errand for the process that is to run it.
const VARIABLE: &str = "KPROD_TEST_ERRAND";

/// What a process is to roll.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Errand {
    pub(super) cluster: String,
    /// `--set` and `--set-string` with their values, as on a command line.
    pub(super) sets: Vec<String>,
    /// What machines fetch. The fleet that pins it is its parent's, who reads it meanwhile: the process
    /// does not make it anew.
    pub(super) program: Program,
    pub(super) kubeconfig: PathBuf,
    pub(super) time: FastTime,
    pub(super) holder: String,
    /// Where what happens is written down, for whoever has to find out why.
    pub(super) diary: PathBuf,
}

/// How it ended, as the process tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) code: u8,
    pub(super) resumed: bool,
    pub(super) replaced: usize,
    pub(super) steps: usize,
    pub(super) evictions: usize,
    pub(super) elapsed_secs: u64,
    pub(super) failure: String,
}

impl Errand {
    /// Starts a process that rolls.
    pub(super) fn start(&self, account: &Account<'_>) -> Run {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "aws::roll::errand::runs_the_errand_that_it_is_given";
        command.args(["--exact", test, "--ignored", "--nocapture"]).stdin(Stdio::null());
        account.reach(&mut command).env(VARIABLE, serde_json::to_string(self).unwrap());
        Run::start(&mut command)
    }

    /// Rolls to the end.
    ///
    /// # Errors
    /// All that the process said, when it told no end.
    pub(super) fn run(&self, account: &Account<'_>) -> Result<Told, String> {
        self.end(self.start(account))
    }

    /// Waits for a process that was started.
    ///
    /// # Errors
    /// As [`Errand::run`].
    pub(super) fn end(&self, run: Run) -> Result<Told, String> {
        let (_, told, said) = run.finish();
        let end = told.lines().find_map(|line| line.strip_prefix("TOLD "));
        let end = end.and_then(|end| serde_json::from_str(end).ok());
        end.ok_or_else(|| {
            format!("{}: no end, see {}\n{told}\n{said}", self.holder, self.diary.display())
        })
    }

    fn note(&self, now: &str, event: &Event) {
        if matches!(event, Event::Roll(RollEvent::Progress { .. })) {
            return;
        }
        let diary = OpenOptions::new().create(true).append(true).open(&self.diary);
        writeln!(diary.unwrap(), "{now} {}: {event:?}", self.holder).unwrap();
    }

    /// The spec that the values make.
    pub(super) fn spec(&self) -> Spec {
        let tree = load(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default());
        let set = |pair: &[String]| match pair {
            [flag, value] if flag == "--set" => Set::parse(value).unwrap(),
            [_, value] => Set::parse_string(value).unwrap(),
            _ => panic!("{pair:?}"),
        };
        let sets: Vec<Set> = self.sets.chunks(2).map(set).collect();
        let rendered = render(&tree, &self.cluster, &sets, &Limits::default());
        let spec = read(rendered.documents, Strictness::Strict).spec.unwrap();
        Spec { node_program: Some(self.program.clone()), ..spec }
    }
}

#[test]
#[ignore = "a process that a test starts"]
fn runs_the_errand_that_it_is_given() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let errand: Errand = serde_json::from_str(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(roll(&errand));
}

#[expect(clippy::print_stdout, reason = "the end is told to the test")]
async fn roll(errand: &Errand) {
    let spec = errand.spec();
    let query = desired::query(&spec);
    let connection = Connection {
        region: spec.cluster.spec.region.clone().unwrap_or_default(),
        state: spec.cluster.spec.config_base.as_deref().and_then(StateAddress::parse),
        account: spec.cluster.spec.account.clone(),
        ..Connection::default()
    };
    let cloud = Fast::new(AwsCloud::connect(&connection).await.unwrap(), errand.time);
    let access =
        KubeAccess { kubeconfig: Some(errand.kubeconfig.clone()), ..KubeAccess::default() };
    let kube =
        Fast::new(KubeClient::connect(access, KubeLimits::default()).await.unwrap(), errand.time);
    let mut policy = Policy::of(&spec);
    for group in policy.groups.values_mut() {
        // Time runs fast, and a busy machine does not: to be slow is no failure of a roll.
        for limit in
            [&mut group.drain_timeout, &mut group.boot_timeout, &mut group.validate_timeout]
        {
            *limit = Duration::from_secs(3 * 3_600);
        }
    }
    let request = RollRequest {
        policy: &policy,
        query: &query,
        holder: errand.holder.clone(),
        lock_timeout: Duration::from_secs(600),
    };
    let (stop, began) = (StopSignal::new(), std::time::Instant::now());
    let note = |event| errand.note(&cloud.now().to_string(), &event);
    let ended = driver::run(&cloud, Some(&kube), &request, &stop, &note).await;
    let told = match ended {
        Ok(report) => Told {
            code: report.exit_code() as u8,
            resumed: report.resumed,
            replaced: report.replaced_count(),
            steps: report.steps,
            evictions: report.evictions,
            elapsed_secs: began.elapsed().as_secs(),
            failure: report.failure.map(|failure| format!("{failure:#?}")).unwrap_or_default(),
        },
        Err(failure) => Told {
            code: failure.code as u8,
            resumed: false,
            replaced: 0,
            steps: 0,
            evictions: 0,
            elapsed_secs: began.elapsed().as_secs(),
            failure: format!("{failure:#?}"),
        },
    };
    println!("\nTOLD {}", serde_json::to_string(&told).unwrap());
}
