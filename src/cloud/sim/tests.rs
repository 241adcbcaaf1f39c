//! Crashes, the shared clock, and worlds shared by processes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use std::fs;

use super::*;
use crate::sim::{CrashPlan, CrashSide};

const SECOND: Duration = Duration::from_secs(1);

fn profile(name: &str) -> Call {
    let instance_profile_name = name.to_owned();
    Call::CreateInstanceProfile { instance_profile_name, tags: BTreeMap::new() }
}

fn profiles(cloud: &SimCloud) -> usize {
    cloud.with_world(|world| world.profiles.iter().count()).unwrap()
}

fn open(folder: &Path) -> SimCloud {
    SimCloud::open(folder, "123456789012", "eu-west-3").unwrap()
}

#[tokio::test]
async fn a_crash_stops_the_run_where_it_stands_and_the_next_one_goes_on() {
    for (side, left) in [(CrashSide::Before, 1), (CrashSide::After, 2)] {
        let cloud = SimCloud::in_memory(1);
        let plan = CrashPlan { mutation: 2, side };
        cloud.with_world(|world| world.faults.crash = Some(plan)).unwrap();
        let run = async {
            for name in ["one", "two", "three"] {
                cloud.call(&profile(name)).await.unwrap();
            }
        };
        tokio::select! {
            () = run => panic!("the run went on"),
            () = cloud.crashed() => {}
        }
        assert!(cloud.take_crash());
        assert!(!cloud.take_crash());
        assert_eq!(profiles(&cloud), left);
        cloud.call(&profile("three")).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_to_the_bucket_may_crash_or_lose_its_answer() {
    let cloud = SimCloud::in_memory(1);
    let plan = CrashPlan { mutation: 1, side: CrashSide::After };
    cloud.with_world(|world| world.faults.store_crash = Some(plan)).unwrap();
    tokio::select! {
        biased;
        _ = cloud.put("lease", b"one".to_vec(), Condition::Absent) => panic!("it answered"),
        () = cloud.crashed() => {}
    }
    cloud.take_crash();
    let entry = cloud.get("lease").await.unwrap().unwrap();

    let lost = BTreeMap::from([(2, crate::sim::CallFault::AnswerLost)]);
    cloud.with_world(|world| world.faults.on_store_write = lost).unwrap();
    let put = cloud.put("lease", b"two".to_vec(), Condition::Match(entry.etag)).await;
    assert!(matches!(put, Err(StoreError::Failed { .. })), "{put:?}");
    assert_eq!(cloud.get("lease").await.unwrap().unwrap().body, b"two");
}

#[tokio::test]
async fn after_a_crash_nothing_answers_until_it_is_taken_note_of() {
    let cloud = SimCloud::in_memory(1);
    let plan = CrashPlan { mutation: 1, side: CrashSide::Before };
    cloud.with_world(|world| world.faults.crash = Some(plan)).unwrap();
    let both = async {
        // The second of two concurrent calls must not slip through after the kill.
        let (one, two) = (profile("one"), profile("two"));
        tokio::join!(cloud.call(&one), cloud.call(&two))
    };
    tokio::select! {
        biased;
        _ = both => panic!("a call answered"),
        () = cloud.crashed() => {}
    }
    assert_eq!(profiles(&cloud), 0);
}

#[tokio::test]
async fn sleepers_wake_in_order_and_a_heartbeat_does_not_outrun_work() {
    let cloud = SimCloud::in_memory(1);
    let start = cloud.now();
    let beats = AtomicUsize::new(0);
    let heartbeat = async {
        loop {
            cloud.sleep(20 * SECOND).await;
            beats.fetch_add(1, Ordering::Relaxed);
        }
    };
    let work = async {
        for number in 0..30 {
            cloud.call(&profile(&format!("p{number}"))).await.unwrap();
            cloud.sleep(SECOND).await;
        }
    };
    tokio::select! {
        () = heartbeat => unreachable!("a heartbeat has no end"),
        () = work => {}
    }
    let elapsed = cloud.now().duration_since(start).as_secs();
    assert!((30..40).contains(&elapsed), "{elapsed} s");
    assert_eq!(beats.load(Ordering::Relaxed), 1);

    let order = Mutex::new(Vec::new());
    let nap = async |secs: u32| {
        cloud.sleep(secs * SECOND).await;
        order.lock().unwrap().push(secs);
    };
    tokio::join!(nap(30), nap(10), nap(20));
    assert_eq!(order.into_inner().unwrap(), [10, 20, 30]);
}

#[tokio::test]
async fn concurrent_sleeps_overlap() {
    let cloud = SimCloud::in_memory(1);
    let start = cloud.now();
    let nap = || cloud.sleep(60 * SECOND);
    tokio::join!(nap(), nap(), nap());
    assert_eq!(cloud.now().duration_since(start).as_secs(), 60);
}

#[test]
fn two_processes_share_one_world() {
    let folder = tempfile::tempdir().unwrap();
    let writers = 4;
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let folder = folder.path();
            scope.spawn(move || {
                // Each its own handle, as a process of its own would have.
                let cloud = open(folder);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in 0..10 {
                    let call = profile(&format!("p{writer}-{number}"));
                    runtime.block_on(cloud.call(&call)).unwrap();
                }
            });
        }
        // Whoever looks at any instant finds a whole world.
        for _ in 0..200 {
            let file = folder.path().join("sim-123456789012-eu-west-3.json");
            if let Ok(bytes) = fs::read(file) {
                serde_json::from_slice::<Stored>(&bytes).unwrap();
            }
        }
    });
    assert_eq!(profiles(&open(folder.path())), writers * 10);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "a world and its lock, nothing left over");
}

/// A process may be stopped (Ctrl-Z) while it keeps the lock: nobody else may hang for it.
#[test]
fn a_lock_that_is_not_given_back_is_waited_for_only_so_long() {
    let folder = tempfile::tempdir().unwrap();
    let file = || file::WorldFile::new(folder.path(), "123456789012", "eu-west-3").unwrap();
    let kept = file().lock(Duration::ZERO).unwrap();
    let error = file().lock(Duration::from_millis(20)).unwrap_err().to_string();
    assert!(error.contains("another process has kept") && error.contains(".lock"), "{error}");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| file().lock(file::LOCK_MAX).map(drop));
        drop(kept);
        waits.join().unwrap().unwrap();
    });
}

#[tokio::test]
async fn a_file_keeps_what_sleeps_skipped_and_conditions_hold_across_handles() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    one.sleep(3600 * SECOND).await;
    let etag = one.put("lease", b"one".to_vec(), Condition::Absent).await.unwrap();
    let taken = other.put("lease", b"other".to_vec(), Condition::Absent).await;
    assert_eq!(taken, Err(StoreError::Conflict("lease".to_owned())));
    let ahead = other.now().duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3590..=3610).contains(&ahead), "{ahead} s");
    let newer = other.put("lease", b"renewed".to_vec(), Condition::Match(etag.clone())).await;
    assert_ne!(newer.unwrap(), etag);
    let stale = one.remove("lease", Condition::Match(etag)).await;
    assert_eq!(stale, Err(StoreError::Conflict("lease".to_owned())));
    assert_eq!(one.get("lease").await.unwrap().unwrap().body, b"renewed");
}

#[test]
fn a_world_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sim-123456789012-eu-west-3.json");
    for text in ["{", "{}", ""] {
        fs::write(&file, text).unwrap();
        let error = SimCloud::open(folder.path(), "123456789012", "eu-west-3").err().unwrap();
        assert!(error.to_string().contains("sim-123456789012-eu-west-3.json"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

/// Keys are files of their owner alone, are in no other file, and are made once by two processes.
#[tokio::test]
async fn parameters_are_files_that_only_their_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::cloud::Parameters as _;
    use crate::pki::{Authority, Signer};

    let folder = tempfile::tempdir().unwrap();
    let open = || SimCloud::open(folder.path(), "123456789012", "eu-west-3").unwrap();
    let (one, other) = (open(), open());
    let (cluster, authority) = ("c.example.com", Authority::Kubernetes);
    let create = Call::CreateAuthority {
        cluster: cluster.to_owned(),
        authority: authority.to_string(),
        parameter: authority.secret_parameter(cluster),
        tags: Default::default(),
    };
    one.call(&create).await.unwrap();
    let again = other.call(&create).await.unwrap_err();
    assert_eq!(again.kind, CloudErrorKind::AlreadyExists);
    let secret = other.secret(&authority.secret_parameter(cluster)).await.unwrap().unwrap();
    Signer::parse(&authority, cluster, &secret).unwrap();
    let later = open();
    assert_eq!(later.secret(&authority.secret_parameter(cluster)).await.unwrap(), Some(secret));

    let mut files = Vec::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let has_key = |path: &&std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("PRIVATE")
    };
    let keys: Vec<_> = files.iter().filter(has_key).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let place =
        "sim-123456789012-eu-west-3.parameters/kprod/c.example.com/control-plane/kubernetes";
    assert!(keys[0].ends_with(place), "{keys:?}");
    assert_eq!(std::fs::metadata(keys[0]).unwrap().permissions().mode() & 0o777, 0o600);

    let delete = Call::DeleteAuthority { parameters: [authority.secret_parameter(cluster)].into() };
    other.call(&delete).await.unwrap();
    assert!(!keys[0].exists());
    one.call(&create).await.unwrap();
}
