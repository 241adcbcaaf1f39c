//! A machine: namespaces with an address, its disks, and what its user data put there.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use kprod::cloud::sim::SimCloud;
use kprod::sim::World;

use super::SCENE;

/// The prefix of every address: the VPC's subnets have no routers here.
pub(crate) const PREFIX: &str = "8";

/// Where the VPC's own address is, of its resolver.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// The network that machines are plugged into, in this process's namespaces.
pub(crate) fn make_vpc() {
    sh(&format!(
        "mount --make-rprivate / && ip link set lo up && ip link add vpc type bridge \
         && ip address add {RESOLVER}/{PREFIX} dev vpc && ip link set vpc up"
    ));
}

/// Has this process ask the VPC's resolver for names, as machines do. The file that says so is put into a
/// folder.
pub(crate) fn ask_resolver(folder: &Path) {
    let file = folder.join("resolv.conf");
    fs::write(&file, format!("nameserver {RESOLVER}\n")).unwrap();
    sh(&format!("mount --bind {} $(readlink -f /etc/resolv.conf)", file.display()));
}

/// So long processes may take to stop: one of them may be writing to its disk.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A place for machines: what stays while machines come and go.
pub(crate) struct Slot {
    /// Its number, for names of interfaces.
    pub(crate) number: usize,
    /// The files of the machine.
    pub(crate) folder: PathBuf,
    /// The address of its interface.
    pub(crate) address: Ipv4Addr,
    /// The machine that is there.
    running: Option<Child>,
}

impl Slot {
    pub(crate) fn new(number: usize, folder: &Path, address: Ipv4Addr) -> Self {
        fs::create_dir_all(folder.join("by-id")).unwrap();
        for (name, text) in
            [("boot", include_str!("boot.sh")), ("systemctl", include_str!("systemctl.sh"))]
        {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { number, folder: folder.to_owned(), address, running: None }
    }

    fn link(&self, volume_id: &str) -> PathBuf {
        let name = format!("nvme-Amazon_Elastic_Block_Store_{}", volume_id.replace('-', ""));
        self.folder.join("by-id").join(name)
    }

    /// The disk of a volume.
    pub(crate) fn device(&self, volume_id: &str) -> String {
        fs::read_link(self.link(volume_id)).unwrap().display().to_string()
    }

    /// Lets the machine see a disk.
    pub(crate) fn plug(&self, volume_id: &str, device: &str) {
        let link = self.link(volume_id);
        let _ = fs::remove_file(&link);
        symlink(device, link).unwrap();
    }

    /// Has machines that come from now on bring etcd's programs of a folder; those of `/usr/bin` are there
    /// anyway.
    pub(crate) fn bring(&self, programs: &Path) {
        let link = self.folder.join("bin");
        let _ = fs::remove_file(&link);
        if programs != Path::new("/usr/bin") {
            symlink(programs, link).unwrap();
        }
    }

    /// Starts a machine, which runs its user data.
    pub(crate) fn boot(&mut self, resolver: Ipv4Addr) {
        assert!(self.running.is_none(), "a slot holds one machine");
        let child = Command::new(SCENE[0])
            .args(&SCENE[1..])
            .arg(self.folder.join("boot"))
            .arg(&self.folder)
            .args([&self.address.to_string(), PREFIX, &resolver.to_string()])
            .spawn()
            .unwrap();
        // The network belongs to the process that `unshare` forks, and to itself just as well.
        let (outside, inside) = (format!("m{}", self.number), format!("n{}", self.number));
        wait_for_own_network(child.id());
        sh(&format!(
            "ip link add {outside} type veth peer name {inside} \
             && ip link set {outside} master vpc up \
             && ip link set {inside} netns {} name eth0",
            child.id()
        ));
        self.running = Some(child);
    }

    /// Ends the machine at once, with all that runs on it, its network and its mounts.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().expect("a machine runs");
        child.kill().unwrap();
        child.wait().unwrap();
        // The kernel takes interfaces away a moment after their namespace is gone.
        let outside = format!("m{}", self.number);
        // `/sys` would show those of the namespace that it was mounted in.
        let ip = |args: &[&str]| Command::new("ip").args(args).output().unwrap().status.success();
        for _ in 0..200 {
            if !ip(&["link", "show", "dev", &outside]) {
                return;
            }
            let _ = ip(&["link", "del", "dev", &outside]);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{outside} is still there");
    }

    /// Has the whole machine stand still, while it uses nothing that others wait for; that is the account,
    /// which is simulated and a file here.
    pub(crate) fn freeze(&self, cloud: &SimCloud) {
        cloud.with_world(|_: &mut World| stop(|| self.processes())).unwrap();
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// Has the etcd of a member stand still, and nothing else on the machine.
    #[cfg(feature = "aws")]
    pub(crate) fn freeze_etcd(&self, etcd: &str) {
        signal("STOP", &self.servers(etcd));
    }

    /// Has it go on.
    #[cfg(feature = "aws")]
    pub(crate) fn thaw_etcd(&self, etcd: &str) {
        signal("CONT", &self.servers(etcd));
    }

    /// What runs the etcd of a member; its configuration file has the name of its etcd cluster.
    #[cfg(feature = "aws")]
    fn servers(&self, etcd: &str) -> Vec<String> {
        let command = format!("/usr/bin/etcd\0--config-file\0/run/kprod/etcd/{etcd}.json\0");
        let is_it = |process: &String| {
            fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|it| it == command)
        };
        let found: Vec<String> = self.processes().into_iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{etcd}: {}", self.log());
        found
    }

    /// All in the namespace of processes that the machine's first one is in.
    fn processes(&self) -> Vec<String> {
        let child = self.running.as_ref().expect("a machine runs").id();
        let space = fs::read_link(format!("/proc/{child}/ns/pid_for_children")).unwrap();
        let names = fs::read_dir("/proc").unwrap();
        let names = names.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let is_inside = |name: &String| {
            fs::read_link(format!("/proc/{name}/ns/pid")).is_ok_and(|found| found == space)
        };
        names
            .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
            .filter(is_inside)
            .collect()
    }

    /// What the program on the machine has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("node.log")).unwrap_or_default()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// Has processes stand still. They are listed anew until all of them do, since one may have begun another.
pub(crate) fn stop(processes: impl Fn() -> Vec<String>) {
    signal("STOP", &processes());
    let began = Instant::now();
    while !processes().iter().all(stands_still) {
        assert!(began.elapsed() < STOP_MAX, "{:?} do not stop", processes());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether no thread of a process runs.
fn stands_still(process: &String) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    // Field 3, after the name in parentheses: `T` is stopped (proc(5)).
    let state = |stat: String| stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        matches!(state(stat), None | Some('T' | 'Z'))
    })
}

fn signal(signal: &str, processes: &[String]) {
    for process in processes {
        sh(&format!("kill -{signal} {process} 2>/dev/null || true"));
    }
}

/// Runs a line of shell that has to work.
pub(crate) fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn wait_for_own_network(pid: u32) {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = of("self");
    for _ in 0..200 {
        if of(&pid.to_string()).is_some_and(|net| Some(net) != own) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("process {pid} got no network of its own");
}
